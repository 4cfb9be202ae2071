//! What is decided: settings, facts, route, verdict. Pure: no IO, no clock.

pub mod facts;
pub mod judge;
pub mod route;
pub mod settings;
pub mod verdict;
