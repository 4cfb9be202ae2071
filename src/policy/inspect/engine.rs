//! What a configuration looks for in content, compiled.

use std::sync::Arc;

use crate::mime;
use crate::policy::condition::Reads;
use crate::policy::settings::{Inspect, InspectBounds};
use crate::scan::lookalike::Protected;
use crate::scan::pattern::Place;
use crate::scan::{Rules, Set};

/// Shared by all workers; a transaction uses one from its first octet to its verdict.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    bounds: mime::Bounds,
    pub(super) protected: Protected,
    /// Header fields that rules ask for, in lower case.
    pub(super) headers: Vec<String>,
    pub(super) digests: bool,
    pub(super) urls: bool,
    pub(super) text: Option<Arc<Set>>,
    pub(super) raw: Option<Arc<Set>>,
    pub(super) attachment: Option<Arc<Set>>,
    pub(super) url: Option<Arc<Set>>,
    pub(super) filename: Option<Arc<Set>>,
    pub(super) header: Option<Arc<Set>>,
    /// Some pattern looks at fields of one name.
    pub(super) named_headers: bool,
}

impl Engine {
    /// `reads` is what the rules of the same configuration ask for.
    pub fn new(rules: Rules, inspect: &Inspect, reads: &Reads) -> Self {
        let set = |place: &Place| rules.set(place).map(Arc::clone);
        let protected = Protected::new(inspect.protect.iter().map(String::as_str));
        let named = |set: &Arc<Set>| matches!(set.place(), Place::Header(Some(_)));
        Self {
            bounds: bounds(inspect.bounds),
            headers: reads.headers.iter().cloned().collect(),
            digests: reads.digests,
            urls: reads.urls || !protected.is_empty() || rules.set(&Place::Url).is_some(),
            protected,
            text: set(&Place::Text),
            raw: set(&Place::Raw),
            attachment: set(&Place::Attachment),
            url: set(&Place::Url),
            filename: set(&Place::Filename),
            header: set(&Place::Header(None)),
            named_headers: rules.sets().iter().any(named),
            rules,
        }
    }

    /// Domains that others may want to look like.
    pub const fn protected(&self) -> &Protected {
        &self.protected
    }

    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    pub const fn bounds(&self) -> mime::Bounds {
        self.bounds
    }
}

fn bounds(settings: InspectBounds) -> mime::Bounds {
    let InspectBounds { depth, parts, header_bytes, archive_depth, expansion_bytes } = settings;
    let of_archives = mime::archive::Bounds {
        depth_max: archive_depth,
        expanded_bytes_max: expansion_bytes,
        ..Default::default()
    };
    mime::Bounds { depth, parts, header_bytes, archive: of_archives, ..mime::Bounds::default() }
}
