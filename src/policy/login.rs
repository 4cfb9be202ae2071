//! How we say who we are to the servers of an upstream (RFC 4954, the client's side).
//!
//! `control::config` builds these only where TLS is sure, and a password as such only where the server has
//! proven who it is.

use crate::smtp::sasl::client::{Credentials, Means};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAuth {
    pub credentials: Credentials,
    /// The first that the server announces is used; at least one.
    pub means: Vec<Means>,
}

impl UpstreamAuth {
    /// By what, toward a server that announces these mechanisms. One that has not proven who it is learns no
    /// password, whatever was configured.
    pub fn means_among(&self, announced: &[u8], is_proven: bool) -> Option<Means> {
        let may = |means: &Means| is_proven || !means.needs_proof();
        self.means.iter().copied().find(|means| may(means) && means.is_announced(announced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::sasl::Secret;

    #[test]
    fn the_first_that_is_announced_is_used() {
        let credentials = Credentials { user: "ann".to_owned(), password: Secret::new(b"pencil") };
        let auth = UpstreamAuth { credentials, means: vec![Means::ScramSha256, Means::Plain] };
        for (announced, want) in [
            ("PLAIN SCRAM-SHA-256", Some(Means::ScramSha256)),
            ("LOGIN PLAIN", Some(Means::Plain)),
            ("LOGIN EXTERNAL", None),
            ("", None),
        ] {
            assert_eq!(auth.means_among(announced.as_bytes(), true), want, "{announced}");
            let want = want.filter(|means| *means == Means::ScramSha256);
            assert_eq!(auth.means_among(announced.as_bytes(), false), want, "{announced}");
        }
        assert!(!format!("{auth:?}").contains("pencil"));
    }
}
