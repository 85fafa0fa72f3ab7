//! The route that an application has tagged a statement with.

use pgsplit_sql::tags::{Tags, decoded};

use super::callers::route_tags;

/// A longer route is cut.
const LONGEST: usize = 200;

/// The route behind its method if there is one: `GET /api/projects`; `None` without one.
pub(crate) fn route(tags: Tags<'_>) -> Option<String> {
    let (method, route) = route_tags(tags);
    let route = decoded(route?);
    let whole = match method.map(decoded) {
        Some(method) if !route.contains(' ') => format!("{method} {route}"),
        _ => route.into_owned(),
    };
    Some(whole.chars().take(LONGEST).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Option<String> {
        Tags::parse(body.as_bytes()).and_then(route)
    }

    #[test]
    fn routes_of_tags() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(of("route='%2Fapi%2Fprojects'"), text("/api/projects"));
        assert_eq!(of("controller='x',method='GET',route='/a/:id'"), text("GET /a/:id"));
        assert_eq!(of("method='GET',route='GET /a'"), text("GET /a"));
        assert_eq!(of("controller='x'"), None);
        assert_eq!(of("route='a%2'"), text("a%2"));
        assert_eq!(of(&format!("route='{}'", "x".repeat(999))).map(|route| route.len()), Some(LONGEST));
    }
}
