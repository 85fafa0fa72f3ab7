//! Patterns in rules, as far as they are compared with each other: `*` stands for anything, `?` for one character.

/// Whether a pattern matches a text, or all that another pattern matches, as far as that can be told from how they are
/// written: a `*` of the other is not any one character.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // What the last `*` is followed by, and what it may still stand for.
    let mut star = None;
    loop {
        let (mut wanted, mut given) = (pattern.clone(), text.clone());
        let fits = match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((wanted.clone(), text.clone()));
                pattern = wanted;
                continue;
            }
            (Some('?'), Some(given)) => given != '*',
            (wanted, given) => wanted == given,
        };
        if fits {
            (pattern, text) = (wanted, given);
            continue;
        }
        let Some((behind, rest)) = &mut star else { return false };
        if rest.next().is_none() {
            return false;
        }
        (pattern, text) = (behind.clone(), rest.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("a?c", "a\u{e9}c", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxbab", true),
            ("a", "ab", false),
            ("?", "", false),
            ("a*", "ab*", true),
            ("a?", "a*", false),
            ("ab*", "a*", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
