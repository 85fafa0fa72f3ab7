//! The schemas in which a session looks for names.

use pgsplit_sql::Catalog;

/// A search_path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchPath(Box<[Box<str>]>);

/// PostgreSQL's own default.
const DEFAULT: &str = "\"$user\", public";

impl SearchPath {
    /// From the value of the setting; without one, PostgreSQL's default.
    #[must_use]
    pub fn new(setting: Option<&str>, user: &str) -> Self {
        let names = elements(setting.unwrap_or(DEFAULT)).map(str::trim).filter(|name| !name.is_empty());
        let unquoted = |name: &str| match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => name.to_lowercase(),
        };
        let schema = |name: &str| match unquoted(name) {
            name if name == "$user" => user.into(),
            name => name.into(),
        };
        Self(names.map(schema).collect())
    }

    /// The first of its schemas that has a relation of this name.
    #[must_use]
    pub fn resolve<'c>(&self, catalog: &'c Catalog, name: &str) -> Option<&'c str> {
        self.0.iter().find_map(|schema| catalog.schemas(name).find(|known| **known == **schema))
    }
}

/// The elements of a list; a comma in quotes is part of a name (`SplitIdentifierString` in varlena.c).
fn elements(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_postgresql_does() {
        let path = |setting| SearchPath::new(setting, "ann").0.join("|");
        assert_eq!(path(None), "ann|public");
        assert_eq!(path(Some("App, \"My Schema\",\"a\"\"b\" , $user")), "app|My Schema|a\"b|ann");
        assert_eq!(path(Some("")), "");
        assert_eq!(path(Some("a, \"b,\"\",c\", d")), "a|b,\",c|d");
    }
}
