//! Setting aside what cannot be read, so that everything else can be gone on with. A copy of the database stays as it was.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use wanfarm_scheduler::Change;

use super::place::{copy, free_name};
use super::read::{self, Unreadable};
use super::{DataDirectory, Fault, check, error, migrate, next, prepare};
use crate::store::{Row, StoreError, when_unlocked};

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The database as it was; nothing was wrong with it where there is none.
    pub copy: Option<PathBuf>,
    /// What was set aside, in words.
    pub aside: Vec<String>,
}

/// Sets aside what of the database of a data directory cannot be read: a job whole if anything is wrong with it or its videos;
/// of all else, which is known anew or told of no unfinished work, single rows. Blocks.
///
/// # Errors
/// There is no database, the file itself is damaged, a newer version wrote it, or the disk fails. Then nothing was changed.
pub fn repair(directory: &DataDirectory) -> Result<Repaired, StoreError> {
    let path = directory.path().join("coordinator.sqlite");
    if let Err(error) = std::fs::metadata(&path) {
        return Err(StoreError::Failed { verb: "repair", path, why: error.to_string() });
    }
    when_unlocked(|| {
        let fail = |fault: Fault| error("repair", &path, fault);
        let mut database = Connection::open(&path).map_err(|engine| fail(engine.into()))?;
        prepare(&database).map_err(|engine| fail(engine.into()))?;
        check(&path, &database)?;
        migrate(&path, &mut database)?;
        if is_sound(&database).map_err(fail)? {
            return Ok(Repaired { copy: None, aside: Vec::new() });
        }
        let target = free_name(&path).ok_or_else(|| fail(Fault::Value("too many copies lie beside it".to_owned())))?;
        copy(&database, &target).map_err(fail)?;
        let aside = set_aside(&mut database).map_err(fail)?;
        Ok(Repaired { copy: Some(target), aside })
    })
}

/// The tables that count the numbers they have given out.
const COUNTING: [&str; 2] = ["attempt", "job"];

fn is_sound(database: &Connection) -> Result<bool, Fault> {
    for table in COUNTING {
        if miscounted(database, table)?.is_some() {
            return Ok(false);
        }
    }
    Ok(read::unreadable(database)?.is_empty() && bad_plans(read::rows(database)?).is_empty())
}

/// Why no number follows the last one of a table, if so.
fn miscounted(database: &Connection, table: &str) -> Result<Option<String>, Fault> {
    match next(database, table) {
        Ok(_) => Ok(None),
        Err(Fault::Value(why)) => Ok(Some(why)),
        Err(engine) => Err(engine),
    }
}

/// Jobs that no scheduler could go on with, and why.
fn bad_plans(rows: Vec<Row>) -> BTreeMap<i64, String> {
    let plan = |row| if let Row::Scheduler(Change::JobAdded(plan)) = row { Some(plan) } else { None };
    let faults = rows.into_iter().filter_map(plan).filter_map(|plan| Some((plan.id, plan.check().err()?)));
    faults.map(|(job, why)| (job.0.cast_signed(), why.to_string())).collect()
}

fn set_aside(database: &mut Connection) -> Result<Vec<String>, Fault> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut aside = Vec::new();
    let mut jobs: BTreeMap<i64, String> = BTreeMap::new();
    for Unreadable { table, line, job, why } in read::unreadable(&transaction)? {
        match (table, job) {
            // Of these a job is made; what else is of it can be computed or told again.
            ("job" | "pin", Some(job)) => {
                jobs.entry(job).or_insert(why);
            }
            ("model", _) => {
                transaction
                    .execute("DELETE FROM weights WHERE model IN (SELECT name FROM model WHERE rowid = ?1)", [line])?;
                aside.push(remove(&transaction, table, line, &why)?);
            }
            _ => aside.push(remove(&transaction, table, line, &why)?),
        }
    }
    forget(&transaction, jobs, &mut aside)?;
    let bad = bad_plans(read::rows(&transaction)?);
    forget(&transaction, bad, &mut aside)?;
    for table in COUNTING {
        if let Some(why) = miscounted(&transaction, table)? {
            let last = format!("SELECT coalesce(max(id), 0) FROM {table}");
            transaction.execute(&format!("UPDATE sqlite_sequence SET seq = ({last}) WHERE name = ?1"), [table])?;
            aside.push(format!("{why}: it goes on from the greatest that is left"));
        }
    }
    transaction.commit()?;
    Ok(aside)
}

fn remove(transaction: &Transaction<'_>, table: &str, line: i64, why: &str) -> Result<String, Fault> {
    transaction.execute(&format!("DELETE FROM {table} WHERE rowid = ?1"), [line])?;
    Ok(format!("a row of table {table}: {why}"))
}

fn forget(transaction: &Transaction<'_>, jobs: BTreeMap<i64, String>, aside: &mut Vec<String>) -> Result<(), Fault> {
    for (job, why) in jobs {
        // Its videos, states and attempts go with it.
        transaction.execute("DELETE FROM job WHERE id = ?1", [job])?;
        aside.push(format!("job {job}: {why}"));
    }
    Ok(())
}
