//! The settings that clients change, with values that a server shows as they were given.

use crate::random::Random;

/// A setting.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    /// What is in force where nobody has set anything; nothing and an empty string are not told apart.
    pub(crate) default: &'static str,
    value: fn(&mut Random) -> String,
}

impl Setting {
    pub(crate) fn value(&self, random: &mut Random) -> String {
        (self.value)(random)
    }
}

/// The role's and the identity's names among the settings of the model.
pub(crate) const ROLE: &str = "role";
pub(crate) const IDENTITY: &str = "session_authorization";

pub(crate) const SETTINGS: [Setting; 11] = [
    Setting {
        name: "work_mem",
        default: "4MB",
        value: |random| format!("{}kB", 1001 + 2 * random.below(500)),
    },
    Setting {
        name: "statement_timeout",
        default: "0",
        value: |random| format!("{}ms", 600_001 + random.below(900)),
    },
    Setting { name: "TimeZone", default: "UTC", value: |random| format!("Etc/GMT+{}", 1 + random.below(9)) },
    Setting {
        name: "search_path",
        default: "\"$user\", public",
        value: |random| format!("s{}, public", 1 + random.below(3)),
    },
    Setting { name: "application_name", default: "", value: |random| format!("soak {}", random.below(1000)) },
    Setting {
        name: "IntervalStyle",
        default: "postgres",
        value: |random| random.pick(&["iso_8601", "sql_standard", "postgres_verbose"]).into(),
    },
    Setting {
        name: "DateStyle",
        default: "ISO, MDY",
        value: |random| random.pick(&["SQL, DMY", "German, DMY", "Postgres, MDY", "ISO, YMD"]).into(),
    },
    Setting {
        name: "extra_float_digits",
        default: "1",
        value: |random| random.pick(&["0", "2", "3"]).into(),
    },
    Setting {
        name: "default_transaction_isolation",
        default: "read committed",
        value: |random| random.pick(&["repeatable read", "read uncommitted"]).into(),
    },
    Setting { name: "app.tenant", default: "", value: |random| format!("tenant {}", random.below(1000)) },
    Setting { name: "app.other", default: "", value: |random| format!("it's {}", random.below(1000)) },
];

pub(crate) fn any(random: &mut Random) -> &'static Setting {
    &SETTINGS[random.below(SETTINGS.len())]
}

/// `SET name = value`, in words.
pub(crate) fn assignment(name: &str, value: &str) -> String {
    if name == "search_path" { format!("{name} = {value}") } else { format!("{name} = {}", literal(value)) }
}

/// A string constant.
pub(crate) fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
