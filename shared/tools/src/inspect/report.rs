//! An inspection as text for a person.

use std::fmt;

use wanfarm_types::{Expert, Size, TinyVae};

use super::{Inspection, RoleInspection, State};

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.model {
            None if self.fault.is_some() => writeln!(f, "{path}: {} layout", self.layout)?,
            None => {
                writeln!(f, "{path}: {} layout; without a transformer, which model it is cannot be told", self.layout)?
            }
            Some(model) => {
                let d = &model.defaults;
                let (name, preset, layout) = (&model.name, &model.preset, self.layout);
                writeln!(f, "{path}: {name} ({preset}, VAE {:?}, {layout} layout)", model.vae)?;
                writeln!(
                    f,
                    "  {}x{}, {} frames at {} fps, {} steps, shift {}, guidance high {} low {}",
                    d.width, d.height, d.frames, d.fps, d.steps, d.shift, d.guidance.high, d.guidance.low
                )?;
                if let Some(curve) = &model.mag_curve {
                    let (steps, shift, solver) = (curve.steps, curve.shift, curve.solver.name());
                    writeln!(f, "  its own MagCache curve, calibrated with {steps} steps, shift {shift}, {solver}")?;
                }
                match &model.tiny_vae {
                    Some(TinyVae::Here { file, .. }) => writeln!(f, "  tiny VAE for decode = \"tiny\": {file}")?,
                    Some(TinyVae::Unfit(why)) => writeln!(f, "  no tiny VAE for decode = \"tiny\": {why}")?,
                    None => {}
                }
                for lora in &model.loras {
                    let of = lora.expert.map_or("each", Expert::name);
                    writeln!(f, "  part of it: {} at strength {}, expert {of}", lora.path, lora.strength)?;
                }
            }
        }
        self.roles.iter().try_for_each(|role| self.role(role, f))?;
        if let Some(fault) = &self.fault {
            writeln!(f, "  cannot be used: {fault}")?;
        }
        for task in &self.tasks {
            let missing: Vec<&str> = task.missing.iter().map(|role| role.name()).collect();
            match missing.as_slice() {
                [] => writeln!(f, "  {}: everything is here", task.task)?,
                missing => writeln!(f, "  {}: needs {}, not usable here", task.task, missing.join(", "))?,
            }
        }
        Ok(())
    }
}

impl Inspection {
    fn role(&self, role: &RoleInspection, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = role.role.name();
        let indent = " ".repeat(16);
        if role.tensors == 0 {
            writeln!(f, "  {name}")?;
        } else {
            let bytes: u64 = role.dtypes.values().map(|share| share.bytes).sum();
            let dtypes: Vec<&str> = role.dtypes.keys().map(String::as_str).collect();
            let (millions, total) = (role.parameters as f64 / 1e6, Size(bytes));
            writeln!(f, "  {name:<13} {millions:>9.2} M parameters {total:>11} {}", dtypes.join(", "))?;
            // What one type holds, the line above has said.
            for (dtype, share) in role.dtypes.iter().filter(|_| role.dtypes.len() > 1) {
                let millions = share.elements as f64 / 1e6;
                let (tensors, bytes) = (share.tensors, Size(share.bytes));
                writeln!(f, "{indent}{millions:>9.2} M in {tensors:>4} tensors {bytes:>11} {dtype}")?;
            }
        }
        for (file, _) in &role.files {
            writeln!(f, "{indent}{}", file.strip_prefix(&self.path).unwrap_or(file).display())?;
        }
        for file in &role.digests {
            writeln!(f, "{indent}blake3 {} {}", file.blake3, file.path)?;
        }
        if let Some(memory) = &role.memory {
            write!(f, "{indent}memory on {}: weights {}", self.device, Size(memory.weights))?;
            match memory.activations {
                // The text encoder's: layer after layer, and not between texts.
                Some(bytes) if memory.weights == 0 => writeln!(f, ", about {} at work (an estimate)", Size(bytes))?,
                Some(bytes) => writeln!(f, ", about {} more at the default size (an estimate)", Size(bytes))?,
                None => writeln!(f)?,
            }
        }
        for note in &role.notes {
            writeln!(f, "{indent}{note}")?;
        }
        match (role.state, &role.fault) {
            (State::Missing, Some(fault)) => writeln!(f, "{indent}missing: {fault}"),
            (_, Some(fault)) => writeln!(f, "{indent}cannot be used: {fault}"),
            _ => Ok(()),
        }
    }
}
