//! Result sets: columns with types, rows of values, and their encoding.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::stream;
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse};
use pgwire::error::PgWireResult;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `text`
    Text,
    /// `int8`
    Int,
    /// `float8`
    Real,
    /// `bool`
    Truth,
    /// `timestamptz`
    Time,
}

impl Kind {
    fn sql(self) -> (Type, i16) {
        match self {
            Self::Text => (Type::TEXT, -1),
            Self::Int => (Type::INT8, 8),
            Self::Real => (Type::FLOAT8, 8),
            Self::Truth => (Type::BOOL, 1),
            Self::Time => (Type::TIMESTAMPTZ, 8),
        }
    }
}

/// Name and type of a column.
pub(super) type Column = (&'static str, Kind);

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// NULL, in a column of any type.
    Null,
    /// In a column of [`Kind::Text`].
    Text(String),
    /// In a column of [`Kind::Int`].
    Int(i64),
    /// In a column of [`Kind::Real`].
    Real(f64),
    /// In a column of [`Kind::Truth`].
    Truth(bool),
    /// In a column of [`Kind::Time`].
    Time(SystemTime),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

impl From<SystemTime> for Value {
    fn from(time: SystemTime) -> Self {
        Self::Time(time)
    }
}

/// Milliseconds, to the microsecond.
impl From<Duration> for Value {
    fn from(duration: Duration) -> Self {
        Self::Real((duration.as_secs_f64() * 1e6).round() / 1e3)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A result set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// Its columns, in an order that scripts may rely on.
    pub(super) columns: &'static [Column],
    /// Its rows, as wide as the columns.
    pub(super) rows: Vec<Vec<Value>>,
}

/// How clients are told of columns; `format` is what a Bind has asked for.
pub(super) fn fields(columns: &[Column], format: &Format) -> Vec<FieldInfo> {
    let each = columns.iter().enumerate();
    each.map(|(at, (name, kind))| {
        let (datatype, size) = kind.sql();
        let format = match format {
            Format::UnifiedText => FieldFormat::Text,
            Format::UnifiedBinary => FieldFormat::Binary,
            Format::Individual(codes) => {
                codes.get(at).map_or(FieldFormat::Text, |code| FieldFormat::from(*code))
            }
        };
        FieldInfo::new((*name).to_owned(), None, None, datatype, format).with_type_size(size)
    })
    .collect()
}

impl Table {
    /// The answer to a client.
    pub(super) fn respond(self, tag: &str, format: &Format) -> PgWireResult<QueryResponse> {
        let fields = Arc::new(fields(self.columns, format));
        let mut encoder = DataRowEncoder::new(fields.clone());
        let mut rows = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            for (value, (_, kind)) in row.iter().zip(self.columns) {
                encode(&mut encoder, value, *kind)?;
            }
            rows.push(Ok(encoder.take_row()));
        }
        let mut response = QueryResponse::new(fields, stream::iter(rows));
        response.set_command_tag(tag);
        Ok(response)
    }
}

fn encode(encoder: &mut DataRowEncoder, value: &Value, kind: Kind) -> PgWireResult<()> {
    match (value, kind) {
        (Value::Text(text), Kind::Text) => encoder.encode_field(text),
        (Value::Int(number), Kind::Int) => encoder.encode_field(number),
        (Value::Real(number), Kind::Real) => encoder.encode_field(number),
        (Value::Truth(truth), Kind::Truth) => encoder.encode_field(truth),
        (Value::Time(time), Kind::Time) => encoder.encode_field(time),
        _ => encoder.encode_field(&None::<String>),
    }
}
