//! Organisations, teams and memberships as FHIR: Organization and CareTeam (design 5).
//!
//! A membership is a data point of type CareTeam, one per patient and team, so it has versions like any other.

use fairway_care::{Label, LabelSet, Membership, Organisation, Team, TeamRefusal};

use super::ResourceId;
use super::outcome::{Fault, Refusal};
use crate::fhir::Json;

/// Identifier system of team aliases.
pub const TEAM_ALIAS_SYSTEM: &str = "urn:fairway:team-alias";
/// Identifier system of organisations: their ODS code (hl7-api 10.2).
pub const ODS_SYSTEM: &str = "https://fhir.nhs.uk/Id/ods-organization-code";
/// Code system of privacy labels (hl7-api 8.1).
pub const LABEL_SYSTEM: &str = "http://fhir.patientsknowbest.com/codesystem/privacy-label";
/// Extension on CareTeam: one per label the team may see.
const ACCESS_EXTENSION: &str = "urn:fairway:extension:team-access";
const ORGANIZATION_TYPE_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/organization-type";

/// A refused team request as its sender is told.
pub(super) fn refusal(refusal: TeamRefusal) -> Refusal {
    let fault = match refusal {
        TeamRefusal::CreatingTeamMissing(_) => Fault::Missing,
        TeamRefusal::UnknownAdd { .. } | TeamRefusal::UnknownRemove { .. } => Fault::Code,
        TeamRefusal::RemoveOrganisation { .. } | TeamRefusal::NotInTeam { .. } => Fault::Rule,
        TeamRefusal::AddAndRemove(_) => Fault::Conflict,
    };
    Refusal::new(fault, refusal.to_string())
}

/// Id of a patient's CareTeam in one team.
pub fn care_team_id(record: ResourceId, organisation: &str, alias: &str) -> ResourceId {
    ResourceId::derive(&["care-team", &record.to_string(), organisation, alias])
}

/// Id of the Organization resource of an organisation.
pub fn organisation_id(organisation: &str) -> ResourceId {
    ResourceId::derive(&["organization", organisation])
}

/// Id of the Organization resource of a team.
pub fn team_id(organisation: &str, alias: &str) -> ResourceId {
    ResourceId::derive(&["team", organisation, alias])
}

/// `{"reference": …, "display": …}`.
fn reference(id: ResourceId, display: &str) -> Json {
    Json::object([("reference", Json::string(format!("Organization/{id}"))), ("display", Json::string(display))])
}

fn identifier(system: &'static str, value: &str) -> Json {
    Json::Array(vec![Json::object([("system", Json::string(system)), ("value", Json::string(value))])])
}

/// The CareTeam of a membership.
pub fn care_team(record: ResourceId, organisation: &Organisation, team: &Team, membership: &Membership) -> Json {
    let mut members = vec![("resourceType", Json::string("CareTeam"))];
    let access: Vec<Json> = membership
        .access
        .iter()
        .map(|label| {
            let coding = Json::object([
                ("system", Json::string(LABEL_SYSTEM)),
                ("code", Json::string(label.code())),
                ("display", Json::string(label.display())),
            ]);
            Json::object([("url", Json::string(ACCESS_EXTENSION)), ("valueCoding", coding)])
        })
        .collect();
    if !access.is_empty() {
        members.push(("extension", Json::Array(access)));
    }
    members.extend([
        ("identifier", identifier(TEAM_ALIAS_SYSTEM, &team.alias)),
        ("status", Json::string(if membership.active { "active" } else { "inactive" })),
        ("name", Json::string(team.name.as_str())),
        ("subject", Json::object([("reference", Json::string(format!("Patient/{record}")))])),
        (
            "participant",
            Json::Array(vec![Json::object([(
                "member",
                reference(team_id(organisation.code(), &team.alias), &team.name),
            )])]),
        ),
        (
            "managingOrganization",
            Json::Array(vec![reference(organisation_id(organisation.code()), organisation.name())]),
        ),
    ]);
    Json::object(members)
}

/// The membership that a CareTeam made by [`care_team`] stands for.
pub fn membership(alias: &str, care_team: &Json) -> Membership {
    let access: LabelSet = care_team
        .get("extension")
        .and_then(Json::as_array)
        .unwrap_or_default()
        .iter()
        .filter_map(|extension| extension.get("valueCoding")?.get("code")?.as_str().and_then(Label::from_code))
        .collect();
    let active = care_team.get("status").and_then(Json::as_str) == Some("active");
    Membership { team: alias.to_owned(), active, access }
}

/// The Organization of an organisation, followed by one for each of its teams.
pub fn organizations(organisation: &Organisation) -> Vec<(ResourceId, Json)> {
    let kind = |code: &'static str, display: &'static str| {
        let coding = Json::object([
            ("system", Json::string(ORGANIZATION_TYPE_SYSTEM)),
            ("code", Json::string(code)),
            ("display", Json::string(display)),
        ]);
        Json::Array(vec![Json::object([("coding", Json::Array(vec![coding]))])])
    };
    let own = Json::object([
        ("resourceType", Json::string("Organization")),
        ("identifier", identifier(ODS_SYSTEM, organisation.code())),
        ("active", Json::Bool(true)),
        ("type", kind("prov", "Healthcare Provider")),
        ("name", Json::string(organisation.name())),
    ]);
    let mut all = vec![(organisation_id(organisation.code()), own)];
    all.extend(organisation.teams().iter().map(|team| {
        let resource = Json::object([
            ("resourceType", Json::string("Organization")),
            ("identifier", identifier(TEAM_ALIAS_SYSTEM, &team.alias)),
            ("active", Json::Bool(true)),
            ("type", kind("team", "Organizational team")),
            ("name", Json::string(team.name.as_str())),
            ("partOf", reference(organisation_id(organisation.code()), organisation.name())),
        ]);
        (team_id(organisation.code(), &team.alias), resource)
    }));
    all
}
