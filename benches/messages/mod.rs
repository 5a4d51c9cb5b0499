//! The messages the benches send: synthetic, about 1 KB, NHS numbers of the test range.

#![allow(dead_code)] // not every bench uses everything

use std::fmt::Write as _;

/// The `n`th NHS number of the test range 999… with a valid check digit.
pub(crate) fn nhs_number(n: usize) -> String {
    let mut body = 999_000_000 + n;
    loop {
        let digits: Vec<usize> = body.to_string().bytes().map(|byte| usize::from(byte - b'0')).collect();
        let sum: usize = digits.iter().zip((2..=10).rev()).map(|(digit, weight)| digit * weight).sum();
        match 11 - sum % 11 {
            10 => body += 500_000,
            11 => return format!("{body}0"),
            check => return format!("{body}{check}"),
        }
    }
}

/// A demographics message of about 1 KB for the `patient`th patient; `n` makes its address differ.
pub(crate) fn adt(trigger: &str, patient: usize, control_id: &str, n: usize) -> Vec<u8> {
    let mut text = String::with_capacity(1100);
    let number = nhs_number(patient);
    // Teams last until they are removed, so updates need not repeat them (hl7-api 2.9).
    let teams = if trigger == "A28" { "ZTM|RTST-PRT~RTST-RENAL\r" } else { "" };
    write!(
        text,
        "MSH|^~\\&|PAS|RTST|FAIRWAY|PHR|20260102101112.{:03}||ADT^{trigger}^ADT_A05|{control_id}|P|2.4|||||GBR|UNICODE UTF-8\r\
         EVN|{trigger}|20260102101112|||PASUSER^Registrar^Ward^^^Mrs|20260102101100|RTST\r\
         PID|1|{number}^^^NHS^NH|{number}^^^NHS^NH{{status:01}}~H{patient:07}^^^RTST^MR||Fairweather^Alexandra^Josephine^^Ms^^L||19700101|F||A^White British^NHSETH|\
         Flat {n}^{n} The Old Brewery Lane^Newcastle upon Tyne^Tyne and Wear^NE1 1XC^GBR^H||01912345678^PRN^PH~07700900123^PRS^CP|^NET^^p{patient}@example.org~01912340000^WPN^PH|EN^English|M|CHR|\
         ACC{patient:08}||||A||||||||N\r\
         NTE|1||The patient prefers letters in large print; please write to the home address, never to the one of work\r\
         PV1|1|O|REN^^^RTST^^^^^Renal Outpatients||||C1234567^Foster^Terry^^^Mr^^^GMC|C7654321^Smith^William^^^Dr^^^GMC||360|||||||||V{patient:08}\r\
         PV2|||^Follow-up after transplant||||||202601020930|||||||||||||N\r\
         GT1|1||Fairweather^Alexandra^Josephine^^Ms||Flat 1^1 The Old Brewery Lane^Newcastle upon Tyne^Tyne and Wear^NE1 1XC^GBR|01912345678\r\
         {teams}",
        n % 1000
    )
    .unwrap_or_default();
    text.into_bytes()
}

/// A laboratory message of 20 results.
pub(crate) fn oru(patient: usize, control_id: &str, order: usize) -> Vec<u8> {
    let mut text = String::with_capacity(3000);
    write!(
        text,
        "MSH|^~\\&|LAB|RTST|FAIRWAY|PHR|20260102101112||ORU^R01|{control_id}|P|2.4\r\
         PID|1||{}^^^NHS^NH||Fairweather^Alexandra||19700101|F\r\
         ORC|RE|PL{order}|FON{order}\r\
         OBR|1|PL{order}|FON{order}|FBC^Full blood count^L|||202601020800|||||||||G1^Jones^Simon^^^Dr||||||202601021000|||F\r",
        nhs_number(patient)
    )
    .unwrap_or_default();
    for index in 1..=20 {
        write!(
            text,
            "OBX|{index}|NM|T{index:03}^Analyte number {index}^L||{}.{}0|10*9/L|4.00-11.00|N|||F|||202601020800\r",
            index + 3,
            index % 10
        )
        .unwrap_or_default();
    }
    text.into_bytes()
}
