//! What can go wrong in a login, with the SQLSTATE that PostgreSQL gives it.

/// A failed login. The text is safe to show to the other side and to log: it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The other side's message breaks the protocol.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// The client asks for something that PostgreSQL does not have either.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Channel binding was negotiated or computed differently on the two sides: possibly a man in the middle.
    #[error("{0}")]
    ChannelBinding(&'static str),
    /// The proof is wrong, or the user does not exist: the two look the same.
    #[error("password authentication failed")]
    WrongPassword,
    /// The server asks for a method that is refused by name.
    #[error("the server offers none of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS")]
    NoMechanism,
    /// The server refused this side's proof; its own word for it.
    #[error("the server refused the SCRAM exchange: {0}")]
    RefusedByServer(String),
    /// The server could not prove that it knows the verifier.
    #[error("the server's SCRAM signature is wrong: it does not hold this user's verifier")]
    ServerSignature,
    /// Keys won from a client's login are of no use to a server with another salt or iteration count.
    #[error(
        "the server's verifier has another salt or iteration count than the one that the client's login was checked against"
    )]
    DifferentVerifier,
    /// The server asks for more work than is done for a login.
    #[error("the server asks for {0} iterations; at most {max} are computed", max = crate::crypto::MAX_ITERATIONS)]
    TooManyIterations(u32),
    /// A stored password is an md5 hash.
    #[error(
        "md5 passwords are not supported: set the password again with password_encryption = 'scram-sha-256'"
    )]
    Md5,
    /// A stored password looks like a verifier and is none.
    #[error("the stored SCRAM verifier is not valid")]
    BadVerifier,
    /// The steps were called out of their order: a mistake in the caller.
    #[error("SCRAM steps out of order")]
    OutOfOrder,
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    Random,
}

impl Error {
    /// The SQLSTATE to report.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "08P01",
            Self::Unsupported(_) => "0A000",
            Self::ChannelBinding(_) | Self::Md5 => "28000",
            Self::WrongPassword => "28P01",
            Self::NoMechanism
            | Self::RefusedByServer(_)
            | Self::ServerSignature
            | Self::DifferentVerifier
            | Self::TooManyIterations(_) => "08001",
            Self::BadVerifier | Self::OutOfOrder | Self::Random => "XX000",
        }
    }
}
