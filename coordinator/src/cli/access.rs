//! `coordinator access`: who may do what.

use std::time::Duration;

use clap::Subcommand;
use wanfarm_client::{Client, GrantLine};
use wanfarm_identity::{Invitation, Membership};
use wanfarm_types::{GrantId, Rights};

use super::say::{errln, out, outln};
use super::table::table;
use super::{CliError, CoordinatorArg, block_on, print_json};
use crate::exit::Exit;
use crate::logging;

#[derive(Debug, clap::Args)]
#[command(after_help = "Rights: viewer looks; submitter also queues and steers jobs; operator also
steers workers and says who may do what; worker computes. Several with commas.

Examples:
  coordinator access grant worker                  a line for one more machine
  coordinator access grant worker --uses 50        the same for fifty
  coordinator access grant submitter --name ann    for a person
  coordinator access grant viewer --token --name grafana --expires 365d
                                                   for a script or a browser
  coordinator access list
  coordinator access revoke 7")]
pub(super) struct AccessArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    coordinator: CoordinatorArg,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a line to join with, or a token.
    Grant(GrantArgs),
    /// Who may do what, and by what they are known.
    List(ListArgs),
    /// Have nobody do anything by a key or a token any more.
    Revoke(RevokeArgs),
}

#[derive(Debug, clap::Args)]
struct GrantArgs {
    /// What they may do: viewer, submitter, operator, worker; several with commas.
    #[arg(value_name = "RIGHTS")]
    rights: Rights,
    /// Whom it is for, shown to people.
    #[arg(long)]
    name: Option<String>,
    /// A token for a script or a browser, shown with each request, in the place of a line to join with.
    #[arg(long, conflicts_with = "uses")]
    token: bool,
    /// How many may join with the line.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    uses: u32,
    /// How long it is valid, as 30d or 12h; never: until it is revoked [default: 1d for a line, 90d for a token].
    #[arg(long, value_name = "TIME", value_parser = validity)]
    expires: Option<Validity>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct RevokeArgs {
    /// Its number in the list.
    #[arg(value_name = "NUMBER")]
    id: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Validity(Option<Duration>);

/// `30d`, `12h`, or `never`.
fn validity(text: &str) -> Result<Validity, String> {
    if text == "never" {
        return Ok(Validity(None));
    }
    match humantime::parse_duration(text) {
        Ok(valid) if valid >= Duration::from_secs(1) => Ok(Validity(Some(valid))),
        Ok(_) => Err("write at least 1s, or never".to_owned()),
        Err(error) => Err(format!("{error}; write it as 30d or 12h, or never")),
    }
}

/// How long a line or a token is valid where nothing is said.
fn usual(token: bool) -> Validity {
    Validity(Some(Duration::from_secs(24 * 3600 * if token { 90 } else { 1 })))
}

pub(super) fn access(args: AccessArgs) -> Result<Exit, CliError> {
    logging::quiet();
    let AccessArgs { verb, coordinator } = args;
    block_on(async {
        let (target, farm) = coordinator.target_and_farm()?;
        let mut client = Client::connect(&target).await?;
        match verb {
            Verb::Grant(args) => {
                let name = args.name.clone().unwrap_or_else(|| args.rights.to_string());
                let Validity(valid) = args.expires.unwrap_or_else(|| usual(args.token));
                let uses = (!args.token).then_some(args.uses);
                let (grant, token) = client.grant(&name, &args.rights, uses, valid).await?;
                // Where nothing is encrypted there are no grants.
                let Some(farm) = farm else { return Ok(Exit::Ok) };
                let line = match uses {
                    None => token.clone(),
                    Some(_) => {
                        let secret = token.parse().map_err(|why| CliError::new(Exit::NoConnection, why))?;
                        let (coordinator, authority) = (target.address().to_owned(), farm.authority);
                        Invitation { coordinator, token: Some(secret), authority }.to_string()
                    }
                };
                if args.json {
                    print_json(&serde_json::json!({ "grant": grant, "line": line }))?;
                    return Ok(Exit::Ok);
                }
                // Alone on standard output, for scripts.
                outln!("{line}");
                let folder = coordinator.membership().folder()?;
                explain(&grant, &target.url(), Membership::open(&folder).ok().flatten().as_ref());
            }
            Verb::List(args) => {
                let grants = client.grants().await?;
                if args.json {
                    print_json(&serde_json::json!({ "grants": grants }))?;
                } else {
                    out!("{}", lines(&grants));
                }
            }
            Verb::Revoke(args) => {
                client.revoke(GrantId(args.id)).await?;
                outln!("{}: revoked", args.id);
            }
        }
        Ok(Exit::Ok)
    })
}

/// What to do with what was granted.
fn explain(grant: &GrantLine, url: &str, membership: Option<&Membership>) {
    let until = grant.expires.as_deref().map(|end| format!(" until {end}")).unwrap_or_default();
    match grant.uses_left {
        Some(uses) => {
            let many = if uses == 1 { "once".to_owned() } else { format!("{uses} times") };
            errln!("opens the farm {many}{until}, on the other machine: coordinator join 'LINE'");
        }
        None => {
            let authority = membership.map(|membership| membership.authority_file().display().to_string());
            let authority = authority.unwrap_or_default();
            errln!(
                "shown with each request{until}: a browser asks for it at {url}/enter; a script sends it:\n  curl --cacert \
                 '{authority}' -H 'Authorization: Bearer TOKEN' {url}/api/v1/jobs"
            );
        }
    }
}

fn lines(grants: &[GrantLine]) -> String {
    let rows = grants.iter().map(|grant| {
        let known_by = match (&grant.key, grant.uses_left) {
            (Some(key), _) => format!("key {}", key.short()),
            (None, Some(1)) => "a line to join with once".to_owned(),
            (None, Some(uses)) => format!("a line to join with, {uses} times"),
            (None, None) => "a token".to_owned(),
        };
        [
            grant.id.to_string(),
            grant.name.clone(),
            grant.rights.to_string(),
            grant.expires.clone().unwrap_or_else(|| "never".to_owned()),
            known_by,
        ]
    });
    table(["ID", "NAME", "RIGHTS", "EXPIRES", "KNOWN BY"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_valid_for_a_while_or_until_it_is_revoked() {
        assert_eq!(validity("never"), Ok(Validity(None)));
        assert_eq!(validity("12h"), Ok(Validity(Some(Duration::from_secs(12 * 3600)))));
        for bad in ["", "0s", "30", "ever", "-1d"] {
            assert!(validity(bad).is_err(), "{bad}");
        }
        assert_eq!(usual(false), validity("1d").unwrap());
    }
}
