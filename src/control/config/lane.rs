//! `[[lane]]`: who is served first.

use super::policy::{Surroundings, condition};
use super::section::Names;
use crate::base::document::{Item, Section};
use crate::policy::condition::Scope;
use crate::policy::lane::{Lanes, Settings};
use crate::traffic::lane::LANES_MAX;

/// The lane that is there where none is without a condition.
const OTHERS: &str = "others";

pub(super) fn lanes(root: &mut Section<'_>, scope: Scope<'_>, around: Surroundings<'_>) -> Lanes {
    let sections = root.optional_sections("lane");
    if sections.is_empty() {
        return Lanes::default();
    }
    let mut reading = Reading { names: Names::default(), left: 100, is_open: true, count: 0 };
    let mut lanes: Vec<_> =
        sections.into_iter().filter_map(|section| lane(section, &mut reading, scope, around)).collect();
    if reading.is_open {
        lanes.push(Settings { name: OTHERS.to_owned(), when: None, share: reading.left });
    }
    Lanes::new(lanes)
}

/// What was read so far.
struct Reading {
    names: Names,
    /// Percent that no lane has yet.
    left: u32,
    /// Nobody has said where those are who fit no condition.
    is_open: bool,
    count: usize,
}

fn lane(
    mut section: Section<'_>,
    reading: &mut Reading,
    scope: Scope<'_>,
    around: Surroundings<'_>,
) -> Option<Settings> {
    let name = reading.names.read(&mut section, "lane");
    reading.count += 1;
    if reading.count > LANES_MAX - usize::from(reading.is_open) {
        section.fault(format!("more than {LANES_MAX} lanes, that of all others among them"));
    }
    let item = section.item("when");
    let when = match item {
        Some(item) => Some(condition(item, scope, around)?),
        None => {
            if !std::mem::replace(&mut reading.is_open, false) {
                section.fault("two lanes without `when`: who fits no condition can be in one only");
            }
            None
        }
    };
    if name == OTHERS && item.is_some() {
        section.fault_at("name", "`others` is the lane of those who fit no condition: leave `when` out");
    }
    let share = section.required("share").and_then(|item| share(item, reading));
    section.finish();
    Some(Settings { name, when, share: share? })
}

/// Percent, of what is left.
fn share(item: Item<'_>, reading: &mut Reading) -> Option<u32> {
    let share = item.count::<u32>(0..=100)?;
    match reading.left.checked_sub(share) {
        Some(left) => reading.left = left,
        None => item.fault(format!("all shares are more than 100: {} are left", reading.left)),
    }
    Some(share)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MINIMAL, accepted, check_added};
    use crate::traffic::lane::Lane;

    #[test]
    fn without_lanes_there_is_one() {
        let lanes = accepted(MINIMAL).policy.lanes;
        assert!(lanes.is_one());
        assert_eq!(lanes.shares().reserve(Lane(0), 7), 7);
    }

    #[test]
    fn who_fits_no_condition_is_in_the_lane_without_one() {
        let text = "[[lane]]\nname = \"partners\"\nwhen = 'client.ip == \"192.0.2.1\"'\nshare = 50\n";
        let lanes = accepted(&format!("{MINIMAL}\n{text}")).policy.lanes;
        assert_eq!(lanes.names().collect::<Vec<_>>(), ["partners", "others"]);
        assert_eq!((lanes.others(), lanes.shares().percent(Lane(1))), (Lane(1), 50));
        let bad = "[[lane]]\nname = \"rest\"\nshare = 10\n[[lane]]\nname = \"bad\"\nwhen = 'client.port == 1'\nshare = 5\n";
        let lanes = accepted(&format!("{MINIMAL}\n{text}{bad}")).policy.lanes;
        assert_eq!(lanes.names().collect::<Vec<_>>(), ["partners", "rest", "bad"]);
        assert_eq!((lanes.others(), lanes.shares().percent(Lane(2))), (Lane(1), 5));
    }

    #[test]
    fn faults_are_told() {
        let when = "when = 'client.port == 1'\n";
        for (text, wanted) in [
            (
                format!("[[lane]]\nname = \"a\"\n{when}share = 60\n[[lane]]\nname = \"b\"\nshare = 50\n"),
                "17:9: all shares are more than 100: 40 are left",
            ),
            (
                "[[lane]]\nname = \"a\"\nshare = 6\n[[lane]]\nname = \"b\"\nshare = 5\n".to_owned(),
                "14:1: two lanes without `when`: who fits no condition can be in one only",
            ),
            (
                format!("[[lane]]\nname = \"others\"\n{when}share = 6\n"),
                "12:8: `others` is the lane of those who fit no condition: leave `when` out",
            ),
            (format!("[[lane]]\nname = \"a\"\n{when}"), "11:1: `share` is missing in lane"),
            (
                "[[lane]]\nname = \"a\"\nshare = 6\nweight = 1\n".to_owned(),
                "14:1: unknown key `weight` in lane; known: name, when, share",
            ),
        ] {
            check_added(&text, &[wanted]);
        }
        let nine: String = (0..8).map(|n| format!("[[lane]]\nname = \"l{n}\"\n{when}share = 1\n")).collect();
        check_added(&nine, &["39:1: more than 8 lanes, that of all others among them"]);
    }
}
