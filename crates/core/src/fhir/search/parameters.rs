//! The search parameters the FHIR API serves, by resource type (R4 search parameter registry).
//!
//! Data only. `_id`, `_lastUpdated` and result parameters belong to the API.

use super::SearchKind::{self, Date, Reference, String, Token};
use super::SearchParameter;

/// The parameters of a resource type; empty for types that are not searched.
pub fn parameters(resource_type: &str) -> &'static [SearchParameter] {
    let found = TYPES.iter().find(|(name, _)| *name == resource_type);
    found.map_or(&[], |(_, parameters)| parameters)
}

/// A parameter of a resource type by its name in the query.
pub fn parameter(resource_type: &str, name: &str) -> Option<&'static SearchParameter> {
    parameters(resource_type).iter().find(|parameter| parameter.name == name)
}

const fn of(kind: SearchKind, name: &'static str, paths: &'static [&'static str]) -> SearchParameter {
    SearchParameter { name, kind, paths, target: None }
}

/// A reference to one type, so that a bare id says enough.
const fn to(target: &'static str, name: &'static str, paths: &'static [&'static str]) -> SearchParameter {
    SearchParameter { name, kind: Reference, paths, target: Some(target) }
}

const IDENTIFIER: SearchParameter = of(Token, "identifier", &["identifier"]);
const STATUS: SearchParameter = of(Token, "status", &["status"]);
const CATEGORY: SearchParameter = of(Token, "category", &["category"]);
const CODE: SearchParameter = of(Token, "code", &["code"]);
const TYPE: SearchParameter = of(Token, "type", &["type"]);
const ACTIVE: SearchParameter = of(Token, "active", &["active"]);
const TELECOM: SearchParameter = of(Token, "telecom", &["telecom"]);
const EMAIL: SearchParameter = of(Token, "email", &["telecom[system=email]"]);
const PHONE: SearchParameter = of(Token, "phone", &["telecom[system=phone]"]);
const SUBJECT: SearchParameter = of(Reference, "subject", &["subject"]);
const PATIENT_SUBJECT: SearchParameter = to("Patient", "patient", &["subject"]);
const PATIENT: SearchParameter = to("Patient", "patient", &["patient"]);
const ENCOUNTER: SearchParameter = to("Encounter", "encounter", &["encounter"]);
const PERFORMER: SearchParameter = of(Reference, "performer", &["performer"]);
const EFFECTIVE: SearchParameter = of(Date, "date", &["effectiveDateTime", "effectivePeriod"]);
const EFFECTIVE_OBSERVATION: SearchParameter =
    of(Date, "date", &["effectiveDateTime", "effectivePeriod", "effectiveInstant"]);
const PERIOD: SearchParameter = of(Date, "date", &["period"]);
const HUMAN_NAME: SearchParameter = of(String, "name", &["name"]);
const FAMILY: SearchParameter = of(String, "family", &["name.family"]);
const GIVEN: SearchParameter = of(String, "given", &["name.given"]);
const GENDER: SearchParameter = of(Token, "gender", &["gender"]);
const BIRTHDATE: SearchParameter = of(Date, "birthdate", &["birthDate"]);
const ADDRESS: SearchParameter = of(String, "address", &["address"]);
const ADDRESS_POSTALCODE: SearchParameter = of(String, "address-postalcode", &["address.postalCode"]);

#[rustfmt::skip] // A parameter is a row.
static TYPES: &[(&str, &[SearchParameter])] = &[
    (
        "Patient",
        &[
            IDENTIFIER, HUMAN_NAME, FAMILY, GIVEN, GENDER, BIRTHDATE, ADDRESS, ADDRESS_POSTALCODE, TELECOM, EMAIL, PHONE,
            ACTIVE,
            of(String, "address-city", &["address.city"]),
            of(Date, "death-date", &["deceasedDateTime"]),
            of(Token, "deceased", &["deceasedBoolean", "deceasedDateTime"]),
            of(Reference, "general-practitioner", &["generalPractitioner"]),
            to("Organization", "organization", &["managingOrganization"]),
            of(Reference, "link", &["link.other"]),
            of(Token, "language", &["communication.language"]),
        ],
    ),
    (
        "Appointment",
        &[
            IDENTIFIER, STATUS,
            to("Patient", "patient", &["participant.actor"]),
            to("Practitioner", "practitioner", &["participant.actor"]),
            to("Location", "location", &["participant.actor"]),
            of(Reference, "actor", &["participant.actor"]),
            of(Date, "date", &["start"]),
            of(Token, "part-status", &["participant.status"]),
            of(Token, "appointment-type", &["appointmentType"]),
            of(Token, "service-type", &["serviceType"]),
            of(Token, "service-category", &["serviceCategory"]),
            of(Token, "specialty", &["specialty"]),
            of(Token, "reason-code", &["reasonCode"]),
            to("ServiceRequest", "based-on", &["basedOn"]),
            of(Reference, "slot", &["slot"]),
        ],
    ),
    (
        "Encounter",
        &[
            IDENTIFIER, STATUS, TYPE, SUBJECT, PATIENT_SUBJECT, PERIOD,
            of(Token, "class", &["class"]),
            of(Token, "reason-code", &["reasonCode"]),
            of(Reference, "participant", &["participant.individual"]),
            to("Location", "location", &["location.location"]),
            to("Organization", "service-provider", &["serviceProvider"]),
            to("Appointment", "appointment", &["appointment"]),
            to("Encounter", "part-of", &["partOf"]),
            to("EpisodeOfCare", "episode-of-care", &["episodeOfCare"]),
        ],
    ),
    (
        "DiagnosticReport",
        &[
            IDENTIFIER, STATUS, CATEGORY, CODE, SUBJECT, PATIENT_SUBJECT, ENCOUNTER, EFFECTIVE, PERFORMER,
            of(Date, "issued", &["issued"]),
            to("Observation", "result", &["result"]),
            to("Specimen", "specimen", &["specimen"]),
            of(Reference, "based-on", &["basedOn"]),
            of(Token, "conclusion", &["conclusionCode"]),
        ],
    ),
    (
        "Observation",
        &[
            IDENTIFIER, STATUS, CATEGORY, CODE, SUBJECT, PATIENT_SUBJECT, ENCOUNTER, EFFECTIVE_OBSERVATION, PERFORMER,
            of(Token, "value-concept", &["valueCodeableConcept"]),
            of(String, "value-string", &["valueString"]),
            of(Date, "value-date", &["valueDateTime", "valuePeriod"]),
            of(Token, "combo-code", &["code", "component.code"]),
            of(Token, "component-code", &["component.code"]),
            to("Specimen", "specimen", &["specimen"]),
            of(Reference, "based-on", &["basedOn"]),
            of(Reference, "has-member", &["hasMember"]),
            of(Reference, "derived-from", &["derivedFrom"]),
        ],
    ),
    (
        "Specimen",
        &[
            IDENTIFIER, STATUS, TYPE, SUBJECT, PATIENT_SUBJECT,
            of(Token, "accession", &["accessionIdentifier"]),
            of(Date, "collected", &["collection.collectedDateTime", "collection.collectedPeriod"]),
            to("Specimen", "parent", &["parent"]),
        ],
    ),
    (
        "DocumentReference",
        &[
            STATUS, CATEGORY, TYPE, SUBJECT, PATIENT_SUBJECT,
            of(Token, "identifier", &["masterIdentifier", "identifier"]),
            of(Date, "date", &["date"]),
            of(Date, "period", &["context.period"]),
            of(Reference, "encounter", &["context.encounter"]),
            of(Reference, "author", &["author"]),
            to("Organization", "custodian", &["custodian"]),
            of(Token, "contenttype", &["content.attachment.contentType"]),
            of(Token, "security-label", &["securityLabel"]),
            of(String, "description", &["description"]),
        ],
    ),
    (
        "CareTeam",
        &[
            IDENTIFIER, STATUS, CATEGORY, SUBJECT, PATIENT_SUBJECT, ENCOUNTER, PERIOD,
            of(Reference, "participant", &["participant.member"]),
        ],
    ),
    (
        "Organization",
        &[
            IDENTIFIER, ACTIVE, TYPE, ADDRESS, ADDRESS_POSTALCODE,
            of(String, "name", &["name", "alias"]),
            to("Organization", "partof", &["partOf"]),
        ],
    ),
    (
        "CarePlan",
        &[
            IDENTIFIER, STATUS, CATEGORY, SUBJECT, PATIENT_SUBJECT, ENCOUNTER, PERIOD,
            of(Token, "intent", &["intent"]),
            to("CareTeam", "care-team", &["careTeam"]),
            to("Condition", "condition", &["addresses"]),
        ],
    ),
    (
        "AllergyIntolerance",
        &[
            IDENTIFIER, CATEGORY, PATIENT, TYPE,
            of(Token, "code", &["code", "reaction.substance"]),
            of(Token, "clinical-status", &["clinicalStatus"]),
            of(Token, "verification-status", &["verificationStatus"]),
            of(Token, "criticality", &["criticality"]),
            of(Date, "date", &["recordedDate"]),
        ],
    ),
    (
        "Condition",
        &[
            IDENTIFIER, CATEGORY, CODE, SUBJECT, PATIENT_SUBJECT, ENCOUNTER,
            of(Token, "clinical-status", &["clinicalStatus"]),
            of(Token, "verification-status", &["verificationStatus"]),
            of(Date, "onset-date", &["onsetDateTime", "onsetPeriod"]),
            of(Date, "recorded-date", &["recordedDate"]),
        ],
    ),
    (
        "MedicationStatement",
        &[
            IDENTIFIER, STATUS, CATEGORY, SUBJECT, PATIENT_SUBJECT,
            of(Token, "code", &["medicationCodeableConcept"]),
            to("Medication", "medication", &["medicationReference"]),
            of(Reference, "context", &["context"]),
            of(Date, "effective", &["effectiveDateTime", "effectivePeriod"]),
        ],
    ),
    (
        "MedicationRequest",
        &[
            IDENTIFIER, STATUS, SUBJECT, PATIENT_SUBJECT, ENCOUNTER,
            of(Token, "intent", &["intent"]),
            of(Token, "code", &["medicationCodeableConcept"]),
            to("Medication", "medication", &["medicationReference"]),
            of(Date, "authoredon", &["authoredOn"]),
        ],
    ),
    (
        "ServiceRequest",
        &[
            IDENTIFIER, STATUS, CATEGORY, CODE, SUBJECT, PATIENT_SUBJECT, ENCOUNTER, PERFORMER,
            of(Token, "intent", &["intent"]),
            of(Date, "authored", &["authoredOn"]),
            of(Reference, "requester", &["requester"]),
        ],
    ),
    (
        "Procedure",
        &[
            IDENTIFIER, STATUS, CATEGORY, CODE, SUBJECT, PATIENT_SUBJECT, ENCOUNTER,
            of(Date, "date", &["performedDateTime", "performedPeriod"]),
        ],
    ),
    (
        "Immunization",
        &[
            IDENTIFIER, STATUS, PATIENT,
            of(Date, "date", &["occurrenceDateTime"]),
            of(Token, "vaccine-code", &["vaccineCode"]),
        ],
    ),
    ("EpisodeOfCare", &[IDENTIFIER, STATUS, TYPE, PATIENT, PERIOD]),
    (
        "RelatedPerson",
        &[
            IDENTIFIER, HUMAN_NAME, GENDER, BIRTHDATE, ADDRESS, ADDRESS_POSTALCODE, TELECOM, EMAIL, PHONE, ACTIVE, PATIENT,
            of(Token, "relationship", &["relationship"]),
        ],
    ),
    (
        "Practitioner",
        &[IDENTIFIER, HUMAN_NAME, FAMILY, GIVEN, GENDER, ADDRESS, ADDRESS_POSTALCODE, TELECOM, EMAIL, PHONE, ACTIVE],
    ),
    (
        "PractitionerRole",
        &[
            IDENTIFIER, ACTIVE, TELECOM, EMAIL, PHONE, PERIOD,
            to("Practitioner", "practitioner", &["practitioner"]),
            to("Organization", "organization", &["organization"]),
            to("Location", "location", &["location"]),
            of(Token, "role", &["code"]),
            of(Token, "specialty", &["specialty"]),
        ],
    ),
    (
        "Location",
        &[
            IDENTIFIER, STATUS, TYPE, ADDRESS, ADDRESS_POSTALCODE,
            of(String, "name", &["name", "alias"]),
            to("Organization", "organization", &["managingOrganization"]),
            to("Location", "partof", &["partOf"]),
        ],
    ),
    (
        "Consent",
        &[
            IDENTIFIER, STATUS, CATEGORY, PATIENT,
            of(Token, "scope", &["scope"]),
            of(Date, "date", &["dateTime"]),
            of(Date, "period", &["provision.period"]),
            of(Reference, "actor", &["provision.actor.reference"]),
            to("Organization", "organization", &["organization"]),
        ],
    ),
    (
        "Communication",
        &[
            IDENTIFIER, STATUS, CATEGORY, SUBJECT, PATIENT_SUBJECT, ENCOUNTER,
            of(Date, "sent", &["sent"]),
            of(Date, "received", &["received"]),
            of(Reference, "sender", &["sender"]),
            of(Reference, "recipient", &["recipient"]),
            of(Reference, "part-of", &["partOf"]),
        ],
    ),
    (
        "Task",
        &[
            IDENTIFIER, STATUS, CODE, ENCOUNTER,
            to("Patient", "patient", &["for"]),
            of(Reference, "subject", &["for"]),
            of(Reference, "focus", &["focus"]),
            of(Reference, "owner", &["owner"]),
            of(Reference, "requester", &["requester"]),
            of(Token, "intent", &["intent"]),
            of(Date, "authored-on", &["authoredOn"]),
            of(Date, "modified", &["lastModified"]),
        ],
    ),
    (
        "Flag",
        &[IDENTIFIER, SUBJECT, PATIENT_SUBJECT, ENCOUNTER, PERIOD, of(Reference, "author", &["author"])],
    ),
    (
        "AuditEvent",
        &[
            TYPE,
            of(Token, "action", &["action"]),
            of(Token, "outcome", &["outcome"]),
            of(Token, "subtype", &["subtype"]),
            of(Date, "date", &["recorded"]),
            of(Reference, "agent", &["agent.who"]),
            of(Reference, "entity", &["entity.what"]),
            to("Patient", "patient", &["agent.who", "entity.what"]),
        ],
    ),
    (
        "Provenance",
        &[
            of(Reference, "target", &["target"]),
            to("Patient", "patient", &["target"]),
            of(Reference, "agent", &["agent.who"]),
            of(Date, "recorded", &["recorded"]),
        ],
    ),
    ("Binary", &[]),
];
