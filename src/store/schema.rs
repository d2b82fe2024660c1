//! The database's schema: what we accept, and how an older one is brought forward.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::store::error::StoreError;

/// Forward-only. A released migration is never edited; position `i` brings schema `i` to `i + 1`.
const MIGRATIONS: &[&str] = &[include_str!("migrations/1.sql"), include_str!("migrations/2.sql")];

/// The schema of a store that this build has opened to write.
pub(super) const LATEST: i64 = MIGRATIONS.len() as i64;

/// Marks a database file as ours: `TRIM` in ASCII.
const APPLICATION_ID: i64 = 0x5452_494d;

/// The largest file that is checked page by page when it is opened. A larger one would hold up the start; damage in it is
/// found when the page is read.
const CHECK_BELOW_BYTES: u64 = 64 << 20;

/// The most a write-ahead log keeps on disk after it was folded back.
const LOG_BYTES: i64 = 64 << 20;

/// The longest wait for another process that writes.
const MOST_BUSY: Duration = Duration::from_secs(60);

/// The page size of a store, fixed when it is made: one of an older version keeps its 4,096 bytes. A decision has about 2,700 with its prompt, so
/// that a page of the usual size would hold one of them and be a third empty.
const PAGE_BYTES: u32 = 16_384;

/// How the writer's connection behaves.
#[derive(Clone, Debug)]
pub(super) struct WriterOptions {
    /// How long to wait for another process that writes.
    pub(super) busy: Duration,
    /// The most bytes the database may grow to.
    pub(super) max_bytes: Option<u64>,
    /// Whether a file that is not there is made.
    pub(super) creates: bool,
}

/// Opens the one connection that writes.
///
/// # Errors
/// What SQLite says of the file.
pub(super) async fn connect(path: &Path, options: &WriterOptions) -> Result<SqliteConnection, sqlx::Error> {
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(options.creates)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(false)
        .busy_timeout(options.busy.min(MOST_BUSY))
        .pragma("journal_size_limit", LOG_BYTES.to_string())
        .thread_name(|_| "trimtab-sqlite".to_owned())
        .disable_statement_logging();
    let mut connection = connect.connect().await?;
    if let Some(most) = options.max_bytes {
        let page: u32 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut connection).await?;
        let pages = format!("PRAGMA max_page_count = {}", (most / u64::from(page.max(1))).max(1));
        sqlx::raw_sql(AssertSqlSafe(pages)).execute(&mut connection).await?;
    }
    Ok(connection)
}

/// Options of connections that only read.
pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .foreign_keys(false)
        .busy_timeout(Duration::from_secs(2))
        .thread_name(|_| "trimtab-read".to_owned())
        .disable_statement_logging()
}

/// Whether a file is a database that this build may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is there yet.
    Absent,
    /// Ours, at this schema.
    Ours(i64),
}

/// Looks at a file without changing it.
///
/// # Errors
/// Damage, another program's database, a newer schema, or a file that cannot be read.
pub(super) async fn inspect(path: &Path) -> Result<Standing, StoreError> {
    let Some(bytes) = size_of_database(path)? else { return Ok(Standing::Absent) };
    let failed = |source| StoreError::from_sql(path.to_owned(), source);
    let mut connection = reading(path).connect().await.map_err(failed)?;
    let standing = read_standing(&mut connection, path).await?;
    if bytes <= CHECK_BELOW_BYTES {
        let verdict: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await.map_err(failed)?;
        if verdict != "ok" {
            return Err(StoreError::Corrupt { path: path.to_owned(), problem: verdict });
        }
    }
    connection.close().await.map_err(failed)?;
    Ok(standing)
}

async fn read_standing(connection: &mut SqliteConnection, path: &Path) -> Result<Standing, StoreError> {
    let failed = |source| StoreError::from_sql(path.to_owned(), source);
    let owner: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(failed)?;
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await.map_err(failed)?;
    match owner {
        APPLICATION_ID if found > LATEST => Err(StoreError::Newer { path: path.to_owned(), found, known: LATEST }),
        APPLICATION_ID => Ok(Standing::Ours(found)),
        // A start that was killed before its first commit leaves an empty database behind.
        0 if tables == 0 && found == 0 => Ok(Standing::Absent),
        _ => Err(StoreError::Foreign { path: path.to_owned() }),
    }
}

/// The size of the file, `None` if it is absent or empty. Refuses what does not begin like a database before SQLite touches it.
fn size_of_database(path: &Path) -> Result<Option<u64>, StoreError> {
    let failed = |source| StoreError::from_io(path.to_owned(), source);
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let bytes = file.metadata().map_err(failed)?.len();
    if bytes == 0 {
        return Ok(None);
    }
    let mut magic = [0_u8; 16];
    let sound = file.read_exact(&mut magic).is_ok() && &magic == b"SQLite format 3\0";
    if sound {
        Ok(Some(bytes))
    } else {
        Err(StoreError::Corrupt { path: path.to_owned(), problem: "it is not a SQLite database".to_owned() })
    }
}

/// Brings the schema to ours, each step in a transaction of its own.
pub(super) async fn migrate(connection: &mut SqliteConnection, from: i64) -> Result<(), sqlx::Error> {
    for (at, migration) in (0_i64..).zip(MIGRATIONS).filter(|(at, _)| *at >= from) {
        let mut step = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(*migration).execute(&mut *step).await?;
        let mark = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};", at + 1);
        sqlx::raw_sql(AssertSqlSafe(mark)).execute(&mut *step).await?;
        step.commit().await?;
    }
    Ok(())
}
