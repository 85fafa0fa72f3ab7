//! The SQLSTATEs that the proxy gives or looks for. Source: PostgreSQL documentation, appendix A.

/// Five characters.
pub type SqlState = [u8; 5];

/// 08006
pub const CONNECTION_FAILURE: SqlState = *b"08006";
/// 08007: sent, but no answer: it may have happened.
pub const RESOLUTION_UNKNOWN: SqlState = *b"08007";
/// 08P01
pub const PROTOCOL_VIOLATION: SqlState = *b"08P01";
/// 0A000
pub const FEATURE_NOT_SUPPORTED: SqlState = *b"0A000";
/// 22023
pub const INVALID_PARAMETER_VALUE: SqlState = *b"22023";
/// 25006
pub const READ_ONLY_TRANSACTION: SqlState = *b"25006";
/// 25P02
pub const IN_FAILED_TRANSACTION: SqlState = *b"25P02";
/// 25P03
pub const IDLE_IN_TRANSACTION_TIMEOUT: SqlState = *b"25P03";
/// 26000
pub const INVALID_STATEMENT_NAME: SqlState = *b"26000";
/// 28000
pub const INVALID_AUTHORIZATION: SqlState = *b"28000";
/// 28P01
pub const INVALID_PASSWORD: SqlState = *b"28P01";
/// 3D000
pub const INVALID_CATALOG_NAME: SqlState = *b"3D000";
/// 40001
pub const SERIALIZATION_FAILURE: SqlState = *b"40001";
/// 42P05
pub const DUPLICATE_PREPARED_STATEMENT: SqlState = *b"42P05";
/// 53300
pub const TOO_MANY_CONNECTIONS: SqlState = *b"53300";
/// 53400
pub const CONFIGURATION_LIMIT_EXCEEDED: SqlState = *b"53400";
/// 57014
pub const QUERY_CANCELED: SqlState = *b"57014";
/// 57P01
pub const ADMIN_SHUTDOWN: SqlState = *b"57P01";
/// 57P03
pub const CANNOT_CONNECT_NOW: SqlState = *b"57P03";
/// 57P05
pub const IDLE_SESSION_TIMEOUT: SqlState = *b"57P05";
/// XX000
pub const INTERNAL_ERROR: SqlState = *b"XX000";
