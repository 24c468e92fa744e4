// The small parts every screen is made of.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { ApiError } from "../lib/api";
import { type Line, line } from "../lib/live";
import { useNow } from "../lib/load";
import { ago, moment } from "../lib/text";
import { Icon, type IconName } from "./icons";

type Tone = "good" | "warn" | "bad" | "info" | "accent" | "";

interface ButtonProps {
  kind?: "first" | "danger" | "quiet" | "danger first";
  small?: boolean;
  icon?: IconName;
  busy?: boolean;
  disabled?: boolean;
  type?: "button" | "submit";
  title?: string;
  "aria-label"?: string;
  "aria-expanded"?: boolean;
  onClick?: () => void;
  children?: ComponentChildren;
}

export function Button({ kind, small, icon, busy, children, disabled, type = "button", ...rest }: ButtonProps) {
  const name = ["button", kind, small && "small"].filter(Boolean).join(" ");
  return (
    <button {...rest} type={type} class={name} disabled={disabled || busy} aria-busy={busy}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

export function Badge({ tone = "", children, title }: { tone?: Tone; children: ComponentChildren; title?: string }) {
  return (
    <span class={`badge ${tone}`} title={title}>
      {children}
    </span>
  );
}

// A coloured dot never stands alone: the text says the same.
export function Dot({ tone, live, label }: { tone: Tone; live?: boolean; label: string }) {
  return (
    <span title={label} class="dotted">
      <span class={`dot ${tone} ${live ? "live" : ""}`} aria-hidden="true" />
      {label && <span class="sr">{label}</span>}
    </span>
  );
}

export function Notice({ tone = "info", children }: { tone?: Tone; children: ComponentChildren }) {
  return (
    <div class={`notice ${tone}`} role={tone === "bad" ? "alert" : "status"}>
      <Icon name={tone === "good" ? "done" : tone === "info" ? "info" : "warn"} />
      <div class="grow">{children}</div>
    </div>
  );
}

// A failure, and how to go on. With `stale`, what is shown beside it is of a moment ago.
export function Failed({ error, again, stale }: { error: Error; again?: () => void; stale?: boolean }) {
  const gone = error instanceof ApiError && error.status === 404;
  return (
    <Notice tone="bad">
      <div class="row">
        <span class="grow">
          {gone ? "This is not there, or not yours to see." : error.message}
          {stale && " What is shown may be old."}
        </span>
        {again && (
          <Button small icon="again" onClick={again}>
            Try again
          </Button>
        )}
      </div>
    </Notice>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

// The shape of what is coming, while it comes.
export function Bones({ lines = 5 }: { lines?: number }) {
  return (
    <div class="stack" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, n) => (
        <div key={n} class="bone" style={{ width: `${92 - ((n * 17) % 40)}%` }} />
      ))}
    </div>
  );
}

export function Panel({ title, actions, children, flush }: { title?: ComponentChildren; actions?: ComponentChildren; children: ComponentChildren; flush?: boolean }) {
  return (
    <section class="panel">
      {(title || actions) && (
        <header>
          <h2 class="grow">{title}</h2>
          {actions}
        </header>
      )}
      {flush ? children : <div class="body">{children}</div>}
    </section>
  );
}

export function Ago({ at, none = "never" }: { at: number | null | undefined; none?: string }) {
  const now = useNow(1_000);
  if (!at) return <span class="faint">{none}</span>;
  return (
    <time class="nowrap" dateTime={new Date(at).toISOString()} title={moment(at)}>
      {ago(at, now)}
    </time>
  );
}

export function Copy({ text, label = "Copy", small = true }: { text: string; label?: string; small?: boolean }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await copyText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1_600);
  };
  return (
    <Button small={small} icon={done ? "done" : "copy"} onClick={copy} title={label} aria-label={done ? "Copied" : label} />
  );
}

// Pages that came without TLS have no clipboard of their own in every browser.
async function copyText(text: string) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

export function Code({ text }: { text: string }) {
  return (
    <div class="code mono">
      {text}
      <span class="copy">
        <Copy text={text} />
      </span>
    </div>
  );
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  error?: string | undefined;
  children: (props: { id: string; "aria-describedby": string; "aria-invalid": boolean }) => ComponentChildren;
}

export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label class="label" for={id}>
        {label}
      </label>
      {children({ id, "aria-describedby": `${id}-hint`, "aria-invalid": Boolean(error) })}
      <small id={`${id}-hint`} role={error ? "alert" : undefined}>
        {error ?? hint}
      </small>
    </div>
  );
}

interface TextProps {
  label: string;
  hint?: ComponentChildren;
  error?: string | undefined;
  value: string;
  onText: (value: string) => void;
  type?: "text" | "email" | "password" | "number" | "url" | "search" | "datetime-local";
  placeholder?: string;
  required?: boolean;
  autofocus?: boolean;
  autoComplete?: string;
  // Names, tokens and expressions, where each character counts.
  mono?: boolean;
}

export function TextField({ label, hint, error, value, onText, type = "text", mono, ...rest }: TextProps) {
  const given = { ...rest, type, class: mono ? "input mono" : "input", value } as object;
  return (
    <Field label={label} hint={hint} error={error}>
      {(field) => <input {...given} {...field} onInput={(event) => onText(event.currentTarget.value)} />}
    </Field>
  );
}

export interface Option {
  value: string;
  label: string;
  disabled?: boolean;
}

interface SelectProps {
  label: string;
  hint?: ComponentChildren;
  value: string;
  options: Option[];
  onPick: (value: string) => void;
  // The label is for screen readers alone.
  bare?: boolean;
}

export function Select({ label, hint, value, options, onPick, bare }: SelectProps) {
  const pick = (field: object) => (
    <select class="input" {...field} value={value} onChange={(event) => onPick(event.currentTarget.value)}>
      {options.map((each) => (
        <option key={each.value} value={each.value} disabled={each.disabled ?? false}>
          {each.label}
        </option>
      ))}
    </select>
  );
  if (bare) return pick({ "aria-label": label });
  return (
    <Field label={label} hint={hint}>
      {pick}
    </Field>
  );
}

export function Choice({ label, value, options, onPick }: { label: string; value: string; options: Option[]; onPick: (value: string) => void }) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {options.map((each) => (
        <button key={each.value} type="button" aria-pressed={each.value === value} onClick={() => onPick(each.value)}>
          {each.label}
        </button>
      ))}
    </div>
  );
}

interface DialogProps {
  title: string;
  children: ComponentChildren;
  onClose: () => void;
  // With it the dialog is a form.
  onSubmit?: () => void;
  wide?: boolean;
}

export function Dialog({ title, children, onClose, onSubmit, wide }: DialogProps) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current?.showModal(), []);
  const inside = (
    <>
      <header>
        <h2>{title}</h2>
        <Button small kind="quiet" icon="close" aria-label="Close" onClick={onClose} />
      </header>
      {children}
    </>
  );
  const submit = (event: Event) => {
    event.preventDefault();
    onSubmit?.();
  };
  return (
    <dialog ref={box} class={wide ? "wide" : ""} onClose={onClose} aria-label={title}>
      {onSubmit ? <form onSubmit={submit}>{inside}</form> : <div class="sheet">{inside}</div>}
    </dialog>
  );
}

interface QuestionProps {
  title: string;
  children: ComponentChildren;
  deed: string;
  busy?: boolean;
  error?: string | undefined;
  onYes: () => void;
  onClose: () => void;
}

// A question before something that cannot be undone.
export function Question({ title, children, deed, busy, error, onYes, onClose }: QuestionProps) {
  return (
    <Dialog title={title} onClose={onClose} onSubmit={onYes}>
      <div>{children}</div>
      {error && <Notice tone="bad">{error}</Notice>}
      <footer>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="danger first" type="submit" busy={busy ?? false}>
          {deed}
        </Button>
      </footer>
    </Dialog>
  );
}

const LINES: Record<Line, [Tone, string, string]> = {
  live: ["good", "Live", "Values appear as they arrive."],
  connecting: ["warn", "Connecting", "The live line is being opened."],
  broken: ["bad", "Not live", "The live line is broken; what is shown may be old. It is tried again."],
  off: ["", "Paused", "Nothing is followed live."],
};

export function LiveSign() {
  const [tone, text, title] = LINES[line.value];
  return (
    <Badge tone={tone} title={title}>
      <span class={`dot ${tone} ${line.value === "live" ? "live" : ""}`} aria-hidden="true" />
      {text}
    </Badge>
  );
}
