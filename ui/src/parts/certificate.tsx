// What a pasted certificate is, as the server reads it: shown before it is saved.

import { ApiError, post } from "../lib/api";
import { useLoad, useSettled } from "../lib/load";
import { moment } from "../lib/text";
import { Notice } from "./basic";

export interface CertificateSight {
  subject: string;
  issuer: string;
  serial: string;
  notBefore: number | null;
  notAfter: number | null;
  key: string;
  fingerprint: string;
  isCa: boolean;
  isSelfSigned: boolean;
  // How many were pasted; the first counts.
  count: number;
}

export function CertificatePeek({ text }: { text: string }) {
  const settled = useSettled(text.trim(), 400);
  const sight = useLoad(async () => (settled ? post<CertificateSight>("/api/thingport/certificates/inspect", { certificate: settled }) : undefined), [settled]);
  if (!settled) return null;
  if (sight.error) return <Notice tone={sight.error instanceof ApiError && sight.error.status === 400 ? "bad" : "warn"}>{sight.error.message}</Notice>;
  if (!sight.value) return null;
  const { subject, issuer, serial, notBefore, notAfter, key, fingerprint, isCa, isSelfSigned, count } = sight.value;
  const over = notAfter !== null && notAfter < Date.now();
  return (
    <div class="stack">
      <dl class="facts">
        <dt>Subject</dt>
        <dd>{subject || "-"}</dd>
        <dt>Issuer</dt>
        <dd>{isSelfSigned ? "itself (self-signed)" : issuer || "-"}</dd>
        <dt>Valid</dt>
        <dd>
          {notBefore === null ? "?" : moment(notBefore, false)} to {notAfter === null ? "?" : moment(notAfter, false)}
        </dd>
        <dt>Key</dt>
        <dd>
          {key}
          {isCa && ", of a CA: it may sign others"}
        </dd>
        <dt>Serial</dt>
        <dd class="mono">{serial}</dd>
        <dt>Credentials id</dt>
        <dd class="mono">{fingerprint}</dd>
      </dl>
      {over && <Notice tone="warn">It has expired. A device that proves its key is let in all the same; only chains are held to their dates.</Notice>}
      {count > 1 && <Notice>{count} certificates were pasted. The first one counts; it is shown here.</Notice>}
    </div>
  );
}
