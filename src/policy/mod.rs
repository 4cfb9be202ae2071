//! What is decided: facts, verdict, route. Pure; looks at settings, changes nothing.

pub mod facts;
pub mod judge;
pub mod route;
pub mod settings;
pub mod verdict;
