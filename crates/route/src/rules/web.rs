//! Patterns of HTTP routes: `[method] path`, where `:name` stands for one part of the path and `*` for anything.

use std::fmt;

use super::pattern::Pattern;

/// A route as it is written in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoutePattern {
    method: Option<Pattern>,
    path: Box<str>,
    /// It has neither parameters nor wildcards.
    plain: bool,
}

impl RoutePattern {
    pub(crate) fn new(text: &str) -> Self {
        let (method, path) = split(text);
        let plain = !path.contains(['*', '?']) && !path.split('/').any(|part| part.starts_with(':'));
        Self { method: method.map(|m| Pattern::new(&m.to_ascii_uppercase())), path: path.into(), plain }
    }

    /// Whether a tag `route` and, if there is one, a tag `method` are of this route. A route tag may begin with the
    /// method itself. A pattern with a method matches no statement that does not tell its method.
    pub(crate) fn matches(&self, route: &str, method: Option<&str>) -> bool {
        let (own, path) = split(route);
        let method_fits = || match (&self.method, own.or(method)) {
            (None, _) => true,
            (Some(pattern), Some(method)) => pattern.matches(&method.to_ascii_uppercase()),
            (Some(_), None) => false,
        };
        let path = path.split('?').next().unwrap_or_default();
        (if self.plain { *self.path == *path } else { fits(&self.path, path) }) && method_fits()
    }

    /// Whether it asks for a method.
    pub(crate) fn has_method(&self) -> bool {
        self.method.is_some()
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.method {
            Some(method) => write!(f, "{method} {}", self.path),
            None => f.write_str(&self.path),
        }
    }
}

/// The method before a path, if there is one.
fn split(text: &str) -> (Option<&str>, &str) {
    match text.trim().split_once(' ') {
        Some((method, path)) => (Some(method), path.trim_start()),
        None => (None, text.trim()),
    }
}

/// Part for part, as long as no wildcard reaches over a slash.
fn fits(pattern: &str, path: &str) -> bool {
    match (pattern.split_once('/'), path.split_once('/')) {
        _ if pattern.split('/').next().is_some_and(|part| part.contains('*')) => {
            let Some((part, rest)) = pattern.split_once('/') else {
                return Pattern::new(pattern).matches(path);
            };
            // What the wildcard stands for may end before any slash.
            let ends = path.match_indices('/').map(|(at, _)| at);
            ends.into_iter().any(|at| {
                let (head, tail) = path.split_at(at);
                Pattern::new(part).matches(head) && fits(rest, tail.get(1..).unwrap_or_default())
            })
        }
        (Some((part, pattern)), Some((found, path))) => part_fits(part, found) && fits(pattern, path),
        (None, None) => part_fits(pattern, path),
        _ => false,
    }
}

fn part_fits(pattern: &str, part: &str) -> bool {
    match pattern.strip_prefix(':') {
        Some(_) => !part.is_empty(),
        None => Pattern::new(pattern).matches(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        for (pattern, route, method, expected) in [
            ("/api/projects", "/api/projects", None, true),
            ("/api/projects", "/api/projects?page=2", None, true),
            ("/api/projects", "/api/projects/1", None, false),
            ("GET /api/projects", "/api/projects", Some("GET"), true),
            ("get /api/projects", "/api/projects", Some("GET"), true),
            ("GET /api/projects", "/api/projects", Some("POST"), false),
            ("GET /api/projects", "/api/projects", None, false),
            ("GET /api/projects", "GET /api/projects", None, true),
            ("/api/projects", "POST /api/projects", None, true),
            ("* /api/projects", "/api/projects", Some("PUT"), true),
            ("/api/reviews/contractors/:id", "/api/reviews/contractors/:id", None, true),
            ("/api/reviews/contractors/:id", "/api/reviews/contractors/42", None, true),
            ("/api/reviews/contractors/:id", "/api/reviews/contractors/", None, false),
            ("/api/reviews/contractors/:id", "/api/reviews/contractors/42/x", None, false),
            ("/api/:version/projects", "/api/v2/projects", None, true),
            ("/api/*", "/api/projects/1", None, true),
            ("/api/*", "/apix", None, false),
            ("/api/*/bids", "/api/projects/1/bids", None, true),
            ("/api/*/bids", "/api/projects/1/bid", None, false),
            ("*", "/anything/at/all", None, true),
            ("/api/projects/:id/*", "/api/projects/1/bids/2", None, true),
            ("/api/project?", "/api/projects", None, true),
        ] {
            assert_eq!(RoutePattern::new(pattern).matches(route, method), expected, "{pattern} {route}");
        }
    }
}
