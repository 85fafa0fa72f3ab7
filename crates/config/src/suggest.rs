//! "Did you mean": the nearest of the valid words.

/// The candidate that is nearest to a word, if it is near enough to have been meant.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let limit = 1 + word.chars().count() / 4;
    let distances = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    distances
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, found)| found)
}

/// Levenshtein's distance, with `-` and `_` and the letters' case taken as equal.
fn distance(left: &str, right: &str) -> usize {
    let fold = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    let right: Vec<char> = right.chars().map(fold).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().map(fold).enumerate() {
        let mut diagonal = i;
        let mut left_cell = i + 1;
        for (r, above) in right.iter().zip(row.iter_mut().skip(1)) {
            let cell = (diagonal + usize::from(l != *r)).min(left_cell + 1).min(*above + 1);
            diagonal = *above;
            *above = cell;
            left_cell = cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("pool", "pool", 0),
            ("poool", "pool", 1),
            ("kitten", "sitting", 3),
            ("max-lag", "max_lag", 0),
            ("Listen", "listen", 0),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        let words = ["pool", "listen", "primary_connections"];
        assert_eq!(nearest("poool", words), Some("pool"));
        assert_eq!(nearest("primary_conections", words), Some("primary_connections"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(nearest("x", []), None);
    }
}
