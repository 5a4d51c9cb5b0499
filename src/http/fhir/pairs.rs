//! The parameters of a request as they were written: decoded, in order, and those of the result once each.
//!
//! What cannot be decoded is refused: a value with something else in its place finds nothing and shows no reason.

use super::outcome::Failure;

/// Names and values of parameters, in order.
pub(super) type Pairs = Vec<(String, String)>;

/// Parameters that ask for one thing: of two, one would be silently ignored.
const ONCE: [&str; 8] = ["_count", "_cursor", "_format", "_pretty", "_since", "_summary", "_total", "_type"];

/// Reads parameters as the query of an address and a form have them, from one or both of these. Linear.
pub(super) fn read(encoded: &[&[u8]]) -> Result<Pairs, Failure> {
    let mut pairs = Pairs::new();
    for part in encoded.iter().flat_map(|one| one.split(|byte| *byte == b'&')).filter(|part| !part.is_empty()) {
        let end = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
        let (name, value) = (&part[..end], part.get(end + 1..).unwrap_or_default());
        let pair = decode(name).zip(decode(value));
        pairs.push(pair.ok_or_else(|| {
            Failure::invalid(
                "a parameter is not UTF-8 or has a % that no two hexadecimal digits follow; write % as %25",
            )
        })?);
    }
    match ONCE.into_iter().find(|once| pairs.iter().filter(|(name, _)| name == once).nth(1).is_some()) {
        Some(name) => Err(Failure::invalid(format!("{name} is given twice; give it once"))),
        None => Ok(pairs),
    }
}

/// Takes away the encoding of a form: `+` for a space, `%` and two hexadecimal digits for a byte of UTF-8.
fn decode(encoded: &[u8]) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(encoded.len()), encoded);
    while let [first, behind @ ..] = rest {
        rest = behind;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let digit = |at: usize| char::from(*behind.get(at)?).to_digit(16);
                rest = behind.get(2..)?;
                u8::try_from(digit(0)? * 16 + digit(1)?).ok()?
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_or_refused() {
        for (encoded, pairs) in [
            ("", Some(vec![])),
            ("a=b&&c", Some(vec![("a", "b"), ("c", "")])),
            ("a=b=c+d%2B%3d&=x", Some(vec![("a", "b=c d+="), ("", "x")])),
            ("n=M%C3%bcller&n=Müller", Some(vec![("n", "Müller"), ("n", "Müller")])),
            ("a=%", None),
            ("a=%4", None),
            ("a=%zz", None),
            ("%+1=a", None),
            ("a=%ff", None),
            ("_count=1&a=b&_count=1", None),
        ] {
            let read = read(&[encoded.as_bytes()]).ok();
            let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
            assert_eq!(read, pairs.map(|pairs| pairs.into_iter().map(owned).collect()), "{encoded}");
        }
        assert!(read(&[b"_count=1", b"_count=2"]).is_err(), "one in the address and one in the form");
    }
}
