//! Organisations, their teams, and which teams a patient is in after a request to add or remove some.
//!
//! The rules are those of the ZTM segment (hl7-api 2.8, 2.9); the caller brings the aliases as they were sent and keeps
//! the memberships. Nothing is changed when one alias of a request is refused.

use serde::{Deserialize, Serialize};

use crate::LabelSet;

/// What a team is to its organisation (hl7-api 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeamKind {
    /// The default team in which feeds create records; exactly one per organisation.
    PatientRecord,
    /// A clinical or administrative team with its own patients.
    Speciality,
}

/// A group of professionals of one organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// The key that names the team in HL7 (ZTM, MSH-4); unique over the organisation.
    pub alias: String,
    /// The name people read.
    pub name: String,
    /// Patient Record Team or speciality team.
    pub kind: TeamKind,
    /// Labels the team may see of a patient who joins by implied consent.
    pub default_access: LabelSet,
}

impl Team {
    /// A team with the access it gets by default.
    pub fn new(alias: &str, name: &str, kind: TeamKind, default_access: LabelSet) -> Team {
        Team { alias: alias.to_owned(), name: name.to_owned(), kind, default_access }
    }
}

/// A data controller with its teams; always has exactly one Patient Record Team and no two teams of one alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    code: String,
    name: String,
    teams: Vec<Team>,
    default_team: usize,
}

/// Why a set of teams is not an organisation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrganisationError {
    /// No team, or more than one, is of the kind `patient-record`.
    #[error("organisation `{0}` needs exactly one team of kind `patient-record`, found {1}")]
    PatientRecordTeams(String, usize),
    /// Two teams, or a team and the organisation, share one alias.
    #[error("organisation `{0}` uses the alias `{1}` more than once")]
    AliasTwice(String, String),
}

impl Organisation {
    /// An organisation from its teams.
    ///
    /// # Errors
    /// When there is not exactly one Patient Record Team, or an alias (or the organisation's own code) is used twice.
    pub fn new(code: &str, name: &str, teams: Vec<Team>) -> Result<Organisation, OrganisationError> {
        let prts: Vec<usize> = (0..teams.len()).filter(|&index| teams[index].kind == TeamKind::PatientRecord).collect();
        let [default_team] = prts[..] else {
            return Err(OrganisationError::PatientRecordTeams(code.to_owned(), prts.len()));
        };
        for (index, team) in teams.iter().enumerate() {
            if team.alias == code || teams[..index].iter().any(|earlier| earlier.alias == team.alias) {
                return Err(OrganisationError::AliasTwice(code.to_owned(), team.alias.clone()));
            }
        }
        Ok(Organisation { code: code.to_owned(), name: name.to_owned(), teams, default_team })
    }

    /// The organisation's code (in England its ODS code); also its alias in HL7.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The name people read.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All teams, in the order given.
    pub fn teams(&self) -> &[Team] {
        &self.teams
    }

    /// The Patient Record Team.
    pub fn default_team(&self) -> &Team {
        &self.teams[self.default_team]
    }

    /// The team of an alias.
    pub fn team(&self, alias: &str) -> Option<&Team> {
        self.teams.iter().find(|team| team.alias == alias)
    }
}

/// One patient's place in one team. Rows are never erased: leaving a team makes them inactive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Alias of the team.
    pub team: String,
    /// False after the patient was removed (discharged) from the team.
    pub active: bool,
    /// What the team may see now.
    pub access: LabelSet,
}

/// Teams to add and to remove, as aliases (ZTM-1, ZTM-2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TeamRequest {
    /// Aliases of teams to add; must name the creating team when not empty.
    pub add: Vec<String>,
    /// Aliases of teams to remove the patient from.
    pub remove: Vec<String>,
}

/// A membership as it must be stored after a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipChange {
    /// The new state of the patient's place in that team.
    pub membership: Membership,
}

/// Why a request was refused; nothing of it is applied (hl7-api 1.5 rows 3 to 6, 2.9).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TeamRefusal {
    /// ZTM-1 is there but lacks the creating (default) team.
    #[error("ZTM-1.1 (teams to add) must include the creating team {0:?}")]
    CreatingTeamMissing(String),
    /// ZTM-1 holds an alias that no team of the organisation has.
    #[error("ZTM-1[{repetition}].1 (team to add) {alias:?} is not a team of this organisation")]
    UnknownAdd {
        /// One-based repetition of ZTM-1.
        repetition: usize,
        /// The alias as sent, cut to its first characters.
        alias: String,
    },
    /// ZTM-2 holds an alias that no team of the organisation has.
    #[error("ZTM-2[{repetition}].1 (team to remove) {alias:?} is not a team of this organisation")]
    UnknownRemove {
        /// One-based repetition of ZTM-2.
        repetition: usize,
        /// The alias as sent, cut to its first characters.
        alias: String,
    },
    /// ZTM-2 names the organisation itself.
    #[error("ZTM-2[{repetition}].1 (team to remove) {alias:?} is the organisation; a patient cannot leave it")]
    RemoveOrganisation {
        /// One-based repetition of ZTM-2.
        repetition: usize,
        /// The alias as sent.
        alias: String,
    },
    /// One team is in both lists.
    #[error("ZTM: team {0:?} is in both ZTM-1 (add) and ZTM-2 (remove)")]
    AddAndRemove(String),
    /// ZTM-2 names a team the patient is not in.
    #[error("ZTM-2[{repetition}].1 (team to remove) the patient is not in team {alias:?}")]
    NotInTeam {
        /// One-based repetition of ZTM-2.
        repetition: usize,
        /// The alias as sent.
        alias: String,
    },
}

/// Decides a request to add and remove teams (hl7-api 2.9).
///
/// A team the patient is already in yields no change; a removed team loses its access; adding it again grants the
/// team's default access anew. ZTM-2 may name the default team: the patient then stays in the organisation (gap 14).
///
/// # Errors
/// The first rule that the request breaks, in the order remove/add both, ZTM-1, ZTM-2.
pub fn plan_teams(
    organisation: &Organisation,
    creating: &Team,
    current: &[Membership],
    request: &TeamRequest,
) -> Result<Vec<MembershipChange>, TeamRefusal> {
    if let Some(both) = request.add.iter().find(|alias| request.remove.contains(alias)) {
        return Err(TeamRefusal::AddAndRemove(both.clone()));
    }
    if !request.add.is_empty() && !request.add.contains(&creating.alias) {
        return Err(TeamRefusal::CreatingTeamMissing(creating.alias.clone()));
    }
    let mut changes: Vec<MembershipChange> = Vec::new();
    for (index, alias) in request.add.iter().enumerate() {
        let team = organisation
            .team(alias)
            .ok_or_else(|| TeamRefusal::UnknownAdd { repetition: index + 1, alias: shown(alias) })?;
        if changes.iter().all(|change| change.membership.team != *alias) {
            changes.extend(link_team(team, current));
        }
    }
    for (index, alias) in request.remove.iter().enumerate() {
        let repetition = index + 1;
        if alias == organisation.code() {
            return Err(TeamRefusal::RemoveOrganisation { repetition, alias: alias.clone() });
        }
        if organisation.team(alias).is_none() {
            return Err(TeamRefusal::UnknownRemove { repetition, alias: shown(alias) });
        }
        if !current.iter().any(|held| held.team == *alias && held.active) {
            return Err(TeamRefusal::NotInTeam { repetition, alias: alias.clone() });
        }
        if request.remove[..index].contains(alias) {
            continue;
        }
        let membership = Membership { team: alias.clone(), active: false, access: LabelSet::NONE };
        changes.push(MembershipChange { membership });
    }
    Ok(changes)
}

/// Links a patient to one team by implied consent; `None` when the patient is in it already (hl7-api 2.8).
pub fn link_team(team: &Team, current: &[Membership]) -> Option<MembershipChange> {
    if current.iter().any(|held| held.team == team.alias && held.active) {
        return None;
    }
    let membership = Membership { team: team.alias.clone(), active: true, access: team.default_access };
    Some(MembershipChange { membership })
}

/// What a refusal repeats of an alias nobody knows: enough to find it, not a misplaced field in full.
fn shown(alias: &str) -> String {
    const CHARACTERS: usize = 32;
    match alias.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &alias[..end]),
        None => alias.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn organisation() -> Organisation {
        Organisation::new(
            "RTST",
            "Test Hospital",
            vec![
                Team::new("PRT", "Patient Record Team", TeamKind::PatientRecord, LabelSet::NONE),
                Team::new("REN", "Renal", TeamKind::Speciality, LabelSet::GENERAL),
                Team::new("WLV", "Waiting list validation", TeamKind::Speciality, LabelSet::NONE),
            ],
        )
        .unwrap()
    }

    fn request(add: &[&str], remove: &[&str]) -> TeamRequest {
        let own = |aliases: &[&str]| aliases.iter().map(|alias| (*alias).to_owned()).collect();
        TeamRequest { add: own(add), remove: own(remove) }
    }

    fn plan(current: &[Membership], add: &[&str], remove: &[&str]) -> Result<Vec<(String, bool)>, TeamRefusal> {
        let organisation = organisation();
        let changes = plan_teams(&organisation, organisation.default_team(), current, &request(add, remove))?;
        Ok(changes.into_iter().map(|change| (change.membership.team, change.membership.active)).collect())
    }

    fn member(team: &str, active: bool) -> Membership {
        Membership { team: team.to_owned(), active, access: LabelSet::NONE }
    }

    #[test]
    fn an_organisation_has_one_patient_record_team_and_no_alias_twice() {
        let team = |alias, kind| Team::new(alias, alias, kind, LabelSet::NONE);
        assert_eq!(
            Organisation::new("R", "R", vec![team("A", TeamKind::Speciality)]),
            Err(OrganisationError::PatientRecordTeams("R".into(), 0))
        );
        let twice = vec![team("A", TeamKind::PatientRecord), team("A", TeamKind::Speciality)];
        assert_eq!(Organisation::new("R", "R", twice), Err(OrganisationError::AliasTwice("R".into(), "A".into())));
        let own_code = vec![team("R", TeamKind::PatientRecord)];
        assert_eq!(Organisation::new("R", "R", own_code), Err(OrganisationError::AliasTwice("R".into(), "R".into())));
    }

    #[test]
    fn adds_need_the_creating_team_and_known_aliases() {
        assert_eq!(plan(&[], &["REN"], &[]), Err(TeamRefusal::CreatingTeamMissing("PRT".into())));
        assert_eq!(
            plan(&[], &["PRT", "XXX"], &[]),
            Err(TeamRefusal::UnknownAdd { repetition: 2, alias: "XXX".into() })
        );
        assert_eq!(plan(&[], &["PRT", "REN", "REN"], &[]).unwrap(), [("PRT".into(), true), ("REN".into(), true)]);
    }

    #[test]
    fn a_team_the_patient_is_in_changes_nothing_and_a_left_one_is_joined_anew() {
        assert_eq!(plan(&[member("PRT", true)], &["PRT"], &[]).unwrap(), []);
        assert_eq!(plan(&[member("PRT", false)], &["PRT"], &[]).unwrap(), [("PRT".into(), true)]);
    }

    #[test]
    fn removal_rules() {
        let current = [member("PRT", true), member("REN", true), member("WLV", false)];
        assert_eq!(plan(&current, &[], &["REN"]).unwrap(), [("REN".into(), false)]);
        assert_eq!(plan(&current, &[], &["PRT"]).unwrap(), [("PRT".into(), false)]);
        let long = "é".repeat(6000);
        let refusal = plan(&current, &["PRT", &long], &[]).unwrap_err().to_string();
        assert!(refusal.len() < 200 && refusal.contains('…'), "{refusal}");
        assert_eq!(plan(&current, &[], &["WLV"]), Err(TeamRefusal::NotInTeam { repetition: 1, alias: "WLV".into() }));
        assert_eq!(
            plan(&current, &[], &["REN", "NO"]),
            Err(TeamRefusal::UnknownRemove { repetition: 2, alias: "NO".into() })
        );
        assert_eq!(
            plan(&current, &[], &["RTST"]),
            Err(TeamRefusal::RemoveOrganisation { repetition: 1, alias: "RTST".into() })
        );
        assert_eq!(plan(&current, &["PRT", "REN"], &["REN"]), Err(TeamRefusal::AddAndRemove("REN".into())));
    }
}
