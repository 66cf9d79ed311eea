// Submit: a manifest, its faults beside it, and what it will take before it is queued.

import { html, useEffect, useRef, useState } from "../vendor/htm-preact.js";
import { path, sendForm, sendText } from "../api.js";
import { bytes } from "../format.js";
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
const MANIFEST = /\.(toml|ya?ml|json)$/i;

export function Submit() {
  useTitle("Submit");
  const [text, setText] = useState("");
  const [name, setName] = useState("");
  const [files, setFiles] = useState([]);
  const [goTo, setGoTo] = useState(null);
  const [sending, setSending] = useState(false);
  const [refusal, setRefusal] = useState(null);
  const trial = useTrial(text, name, files);
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
    const others = dropped.filter((file) => file !== manifest);
    if (others.length) setFiles((before) => [...before.filter((file) => !others.some((other) => other.name === file.name)), ...others]);
  };
  const write = (next) => {
    setRefusal(null);
    setText(next);
  };
  const submit = async () => {
    setSending(true);
    key.current ??= newKey();
    try {
      const job = await post(text, name, files, "", { "idempotency-key": key.current });
      resource(path("jobs")).touch();
      say(`${job.name} is queued`);
      go(`/jobs/${job.job ?? job.id}`);
    } catch (fault) {
      if (!fault.isSilence) key.current = null;
      setRefusal(fault);
      setSending(false);
    }
  };
  const ready = text.trim() && trial.forecast && !problem && !trial.busy;
  return html`
    <div class="page-head"><div class="page-title"><h1>Submit</h1><p class="muted">Drop a manifest, and the pictures and LoRA files it names.</p></div>
      <div class="actions">
        <label class="button"><${Icon} name="upload" />Choose files<input class="visually-hidden" type="file" multiple onChange=${(event) => take([...event.target.files])} /></label>
        <button class="button primary" disabled=${!ready || sending} onClick=${submit}>${sending ? "Submitting" : "Submit"}</button>
      </div></div>
    <div class="submit">
      <div>
        <${Editor} text=${text} onText=${write} onDrop=${take} goTo=${goTo} faults=${problem?.faults?.map((fault) => fault.line).filter(Boolean) || []} />
        ${files.length > 0 && html`<ul class="dropped">${files.map((file) => html`<li key=${file.name} class="tag">${file.name} · ${bytes(file.size)}<button class="drop" aria-label="Leave out ${file.name}" onClick=${() => setFiles(files.filter((other) => other !== file))}><${Icon} name="close" /></button></li>`)}</ul>`}
      </div>
      <div aria-live="polite" aria-busy=${trial.busy ? "true" : "false"}>
        ${problem ? html`<${Faults} problem=${problem} onGo=${setGoTo} />` : trial.forecast ? html`<${Forecast} forecast=${trial.forecast} />` : html`<p class="muted">${text.trim() ? "Being checked" : "What it takes, and what is wrong with it, stands here before anything is queued."}</p>`}
      </div>
    </div>`;
}

/** The dry run of what stands in the editor. */
function useTrial(text, name, files) {
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
        const forecast = await post(text, name, files, "?dry_run=1");
        if (!late) set({ forecast, problem: null, busy: false });
      } catch (problem) {
        if (!late) set({ forecast: null, problem, busy: false });
      }
    }, PAUSE);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [text, name, files]);
  return state;
}

/** Sends the manifest: alone as text, with files as a form. */
function post(text, name, files, query, headers) {
  const kind = kindOf(name, text);
  const url = path("jobs") + query;
  if (!files.length) return sendText(url, typeOf(kind), text, headers);
  const form = new FormData();
  form.append("manifest", new Blob([text], { type: typeOf(kind) }), name || `manifest.${kind}`);
  for (const file of files) form.append("file", file, file.name);
  return sendForm(url, form, headers);
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
