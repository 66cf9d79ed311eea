// Submit: a manifest, its faults beside it, and what it will take before it is queued.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { path, sendText } from "../api.js";
import { plural } from "../format.js";
import { kindOf, typeOf } from "../manifest-kind.js";
import { Editor } from "../parts/editor.js";
import { Faults } from "../parts/faults.js";
import { Forecast } from "../parts/forecast.js";
import { Icon } from "../parts/icon.js";
import { say } from "../parts/toast.js";
import { go } from "../router.js";
import { resource } from "../store.js";
import { useTitle } from "../title.js";

/** The manifest is tried when nobody has typed for so long. */
const PAUSE = 500;
/** What becomes of videos whose names are taken. */
const TAKEN = [
  ["", "refuse the job"],
  ["new_name", "give new names"],
  ["skip", "skip what stands there whole"],
  ["overwrite", "overwrite"],
];
const MANIFEST = /\.(toml|ya?ml|json)$/i;

export function Submit() {
  useTitle("Submit");
  const [text, setText] = useState("");
  const [name, setName] = useState("");
  const [taken, setTaken] = useState("");
  const [goTo, setGoTo] = useState(null);
  const [sending, setSending] = useState(false);
  const [refusal, setRefusal] = useState(null);
  const trial = useTrial(text, name, taken);
  // A click that is repeated because the answer was lost must not be a second job.
  const key = useRef(null);
  const problem = refusal || trial.problem;
  const take = async (dropped) => {
    setRefusal(null);
    const manifest = dropped.find((file) => MANIFEST.test(file.name));
    if (manifest) {
      setName(manifest.name);
      setText(await manifest.text());
    }
    if (dropped.some((file) => file !== manifest)) say("Only a manifest is sent from here; coordinator submit sends pictures, clips and LoRA files as well", "bad");
  };
  const write = (next) => {
    setRefusal(null);
    setText(next);
  };
  const submit = async () => {
    setSending(true);
    key.current ??= newKey();
    try {
      const job = await post(text, name, { taken }, { "idempotency-key": key.current });
      resource(path("jobs")).touch();
      say(job.job == null ? `Nothing is left to render: ${plural(job.left_out, "video")} stand there already` : `${job.name} is queued`);
      go(job.job == null ? "/" : `/jobs/${job.job}`);
    } catch (fault) {
      if (!fault.isSilence) key.current = null;
      setRefusal(fault);
      setSending(false);
    }
  };
  const ready = text.trim() && trial.forecast && !problem && !trial.busy;
  return html`
    <div class="page-head"><div class="page-title"><h1>Submit</h1><p class="muted">Drop a manifest, or write one. What names pictures, clips or LoRA files is submitted with <code>coordinator submit</code>.</p></div>
      <div class="actions">
        <label class="button"><${Icon} name="upload" />Choose a file<input class="visually-hidden" type="file" accept=".toml,.yaml,.yml,.json" onChange=${(event) => take([...event.target.files])} /></label>
        <button class="button primary" disabled=${!ready || sending} onClick=${submit}>${sending ? "Submitting" : "Submit"}</button>
      </div></div>
    <div class="submit">
      <div>
        <${Editor} text=${text} onText=${write} onDrop=${take} goTo=${goTo} faults=${problem?.faults?.map((fault) => fault.line).filter(Boolean) || []} />
        <label class="taken small muted">Where names are taken <select class="select" value=${taken} onChange=${(event) => setTaken(event.target.value)}>
          ${TAKEN.map(([key, words]) => html`<option key=${key} value=${key}>${words}</option>`)}</select></label>
      </div>
      <div aria-live="polite" aria-busy=${trial.busy ? "true" : "false"}>
        ${problem ? html`<${Faults} problem=${problem} onGo=${setGoTo} />` : trial.forecast ? html`<${Forecast} forecast=${trial.forecast} />` : html`<p class="muted">${text.trim() ? "Being checked" : "What it takes, and what is wrong with it, stands here before anything is queued."}</p>`}
      </div>
    </div>`;
}

/** The dry run of what stands in the editor. */
function useTrial(text, name, taken) {
  const [state, set] = useState({ forecast: null, problem: null, busy: false });
  useEffect(() => {
    if (!text.trim()) {
      set({ forecast: null, problem: null, busy: false });
      return undefined;
    }
    let late = false;
    set((before) => ({ ...before, busy: true }));
    const timer = setTimeout(async () => {
      try {
        const forecast = await post(text, name, { taken, dry_run: "1" });
        if (!late) set({ forecast, problem: null, busy: false });
      } catch (problem) {
        if (!late) set({ forecast: null, problem, busy: false });
      }
    }, PAUSE);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [text, name, taken]);
  return state;
}

/** Sends the manifest as text. */
function post(text, name, asked, headers) {
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
  return sendText(`${path("jobs")}?${query}`, typeOf(kindOf(name, text)), text, headers);
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
