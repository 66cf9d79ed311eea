//! Cases `text_cleaning*`: prompts cleaned and tokenised.
//!
//! `cleaning.json` has one row per prompt: `in`, `out`, `ids` and `seq_len`; `ids` is null for a prompt beyond the
//! limit, whose ids are in `io.safetensors` (`long.*`, as those of no prompt are in `empty.*`, padded to 512).

use anyhow::{Context, Result};
use serde_json::Value;
use wanfarm_model::text::{Tokenizer, clean_prompt};
use wanfarm_types::TEXT_LEN;

use crate::case::{Case, Checks, read_json};

pub(crate) fn run(case: &Case<'_>) -> Result<Checks> {
    let tokenizer = Tokenizer::load(case.dir.join("tokenizer/tokenizer.json"))?;
    let table = read_json(&case.dir.join("cleaning.json"))?;
    let rows = table["rows"].as_array().context("cleaning.json has no rows")?;
    let text = |row: &Value, key: &str| -> Result<String> {
        Ok(row[key].as_str().with_context(|| format!("a row has no {key}"))?.to_owned())
    };
    let mut checks = Checks::default();
    let mut long = String::new();
    for (index, row) in rows.iter().enumerate() {
        let prompt = text(row, "in")?;
        checks.equal(format!("row {index}, cleaned"), &[clean_prompt(&prompt)], &[text(row, "out")?]);
        let ids = tokenizer.encode(&prompt)?.ids;
        let seq_len = row["seq_len"].as_u64().context("a row has no seq_len")?;
        checks.equal(format!("row {index}, length"), &[ids.len() as u64], &[seq_len]);
        match row["ids"].as_array() {
            Some(want) => {
                let ids: Vec<Value> = ids.into_iter().map(Value::from).collect();
                checks.equal(format!("row {index}, ids"), &ids, want);
            }
            None => long = prompt,
        }
    }

    let io = case.io()?;
    for (name, prompt) in [("long", long.as_str()), ("empty", "")] {
        let mut ids: Vec<i64> = tokenizer.encode(prompt)?.ids.into_iter().map(i64::from).collect();
        let mut mask = vec![1; ids.len()];
        ids.resize(TEXT_LEN, 0);
        mask.resize(TEXT_LEN, 0);
        checks.equal(format!("{name}.ids_512"), &ids, &io.i64(&format!("{name}.ids_512"))?);
        let name = format!("{name}.mask_512");
        if io.has(&name) {
            checks.equal(name.clone(), &mask, &io.i64(&name)?);
        }
    }
    Ok(checks)
}
