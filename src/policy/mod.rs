//! What is decided: the administrator's settings, and what follows from them.

pub mod route;
pub mod settings;
