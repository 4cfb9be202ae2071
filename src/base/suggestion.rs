//! What somebody may have meant who wrote a name that does not exist.

/// The end of a message about `text`: the nearest of `known` if it is near, else all of them.
pub fn suggestion(text: &str, known: &[&str]) -> String {
    match nearest(text, known) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => format!("; known: {}", known.join(", ")),
    }
}

/// The nearest of `known`, if a slip of the pen could have made `text` of it.
pub fn nearest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(text, name);
    let nearest = known.iter().copied().min_by_key(|name| distance(name))?;
    (distance(nearest) <= 1 + nearest.len() / 3).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::suggestion;

    #[test]
    fn the_nearest_is_named_or_all_are() {
        assert_eq!(suggestion("rejct", &["reject", "defer"]), "; did you mean `reject`?");
        assert_eq!(suggestion("zzzzzz", &["reject", "defer"]), "; known: reject, defer");
    }
}
