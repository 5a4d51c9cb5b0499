//! Teams, memberships and default labels of patient-held records.
//!
//! This crate decides; it never reads a clock, a socket or a database. Embedding programs hand in what they know
//! (an [`Organisation`], a patient's [`Membership`]s, a [`TeamRequest`]) and get back what changes, or a
//! [`TeamRefusal`] whose text can be shown to the sender.
//!
//! ```
//! use fairway_care::{LabelSet, Organisation, Team, TeamKind, TeamRequest, plan_teams};
//! let organisation = Organisation::new(
//!     "RTST",
//!     "Test Hospital",
//!     vec![
//!         Team::new("RTST-PRT", "Patient Record Team", TeamKind::PatientRecord, LabelSet::NONE),
//!         Team::new("RTST-REN", "Renal", TeamKind::Speciality, LabelSet::GENERAL),
//!     ],
//! )?;
//! let request = TeamRequest { add: vec!["RTST-PRT".into(), "RTST-REN".into()], remove: vec![] };
//! let changes = plan_teams(&organisation, organisation.default_team(), &[], &request)?;
//! assert_eq!(changes.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod label;
mod team;

pub use label::{Label, LabelSet};
pub use team::{
    Membership, MembershipChange, Organisation, OrganisationError, Team, TeamKind, TeamRefusal, TeamRequest, link_team,
    plan_teams,
};
