//! What is decided: settings, facts, rules, score, route, verdict. Pure: no IO, no clock.

pub mod condition;
pub mod conduct;
pub mod facts;
pub mod first_contact;
pub mod inspect;
pub mod judge;
pub mod lane;
pub mod ledger;
pub mod limit;
pub mod links;
pub mod lists;
pub mod login;
pub mod mx;
pub mod owners;
pub mod reputation;
pub mod route;
pub mod rule;
pub mod score;
pub mod seal;
pub mod sender;
pub mod settings;
pub mod shown;
pub mod symbol;
pub mod tls;
pub mod users;
pub mod verdict;
