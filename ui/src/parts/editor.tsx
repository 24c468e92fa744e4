// An editor for Protobuf schemas: CodeMirror, with the server's findings as marks in the text.

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { HighlightStyle, StreamLanguage, bracketMatching, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { protobuf } from "@codemirror/legacy-modes/mode/protobuf";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "preact/hooks";

export interface Finding {
  line: number;
  column: number;
  message: string;
  expected: string;
}

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--accent)" },
  { tag: [tags.typeName, tags.variableName], color: "var(--ink)" },
  { tag: tags.comment, color: "var(--ink-3)" },
  { tag: [tags.string, tags.number], color: "var(--info)" },
]);

const look = EditorView.theme({
  "&": { backgroundColor: "var(--sunken)", color: "var(--ink)", border: "1px solid var(--line-strong)", borderRadius: "7px", fontSize: "12.5px" },
  ".cm-content": { fontFamily: "var(--mono)", caretColor: "var(--ink)", minHeight: "180px" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--ink-3)", border: "0" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused": { outline: "2px solid var(--focus)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--ink)", border: "1px solid var(--line)" },
  ".cm-scroller": { maxHeight: "460px" },
});

interface EditorProps {
  label: string;
  value: string;
  findings: Finding[];
  onText: (text: string) => void;
}

export function Editor({ label, value, findings, onText }: EditorProps) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const tell = useRef(onText);
  tell.current = onText;

  useEffect(() => {
    // In a tree of its own, where its sheets are adopted: the policy of the page allows no style elements.
    const tree = place.current!.shadowRoot ?? place.current!.attachShadow({ mode: "open" });
    const made = new EditorView({
      parent: tree,
      root: tree,
      state: EditorState.create({
        doc: value,
        extensions: [
          lineNumbers(),
          history(),
          bracketMatching(),
          indentUnit.of("  "),
          StreamLanguage.define(protobuf),
          syntaxHighlighting(colours),
          lintGutter(),
          look,
          EditorView.contentAttributes.of({ "aria-label": label }),
          keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
          EditorView.updateListener.of((update) => update.docChanged && tell.current(update.state.doc.toString())),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
  }, [label]);

  // A text that did not come from here: undone, or loaded anew. While somebody types here, what comes back is
  // what was typed a moment ago.
  useEffect(() => {
    const held = view.current;
    if (held && !held.hasFocus && held.state.doc.toString() !== value) held.dispatch({ changes: { from: 0, to: held.state.doc.length, insert: value } });
  }, [value]);

  useEffect(() => {
    const held = view.current;
    if (held) held.dispatch(setDiagnostics(held.state, findings.map((each) => markOf(held, each))));
  }, [findings]);

  return <div ref={place} />;
}

function markOf(view: EditorView, finding: Finding): Diagnostic {
  const line = view.state.doc.line(Math.min(Math.max(1, finding.line), view.state.doc.lines));
  const from = Math.min(line.from + Math.max(0, finding.column - 1), line.to);
  const to = view.state.wordAt(from)?.to ?? Math.min(from + 1, line.to);
  return { from, to, severity: "error", message: finding.expected ? `${finding.message}. Expected: ${finding.expected}` : finding.message };
}
