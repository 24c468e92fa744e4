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
  remarks: string[];
}

export function CertificatePeek({ text }: { text: string }) {
  const settled = useSettled(text.trim(), 400);
  const sight = useLoad(async () => (settled ? post<CertificateSight>("/api/thingport/certificates/inspect", { certificate: settled }) : undefined), [settled]);
  if (!settled) return null;
  if (sight.error) return <Notice tone={sight.error instanceof ApiError && sight.error.status === 400 ? "bad" : "warn"}>{sight.error.message}</Notice>;
  if (!sight.value) return null;
  const { subject, issuer, serial, notBefore, notAfter, key, fingerprint, remarks } = sight.value;
  const over = notAfter !== null && notAfter < Date.now();
  return (
    <div class="stack">
      <dl class="facts">
        <dt>Subject</dt>
        <dd>{subject || "-"}</dd>
        <dt>Issuer</dt>
        <dd>{issuer === subject ? "itself (self-signed)" : issuer || "-"}</dd>
        <dt>Valid</dt>
        <dd>
          {notBefore === null ? "?" : moment(notBefore, false)} to {notAfter === null ? "?" : moment(notAfter, false)}
        </dd>
        <dt>Key</dt>
        <dd>{key}</dd>
        <dt>Serial</dt>
        <dd class="mono">{serial}</dd>
        <dt>Credentials id</dt>
        <dd class="mono">{fingerprint}</dd>
      </dl>
      {over && <Notice tone="warn">It has expired. A device that proves its key is let in all the same; only chains are held to their dates.</Notice>}
      {remarks.map((each) => (
        <Notice key={each} tone="warn">
          {each}
        </Notice>
      ))}
    </div>
  );
}
