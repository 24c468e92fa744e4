// The expiry board: every certificate the house knows, the one that ends first on top.

import { useState } from "preact/hooks";
import { get } from "../lib/api";
import { useLoad } from "../lib/load";
import { moment } from "../lib/text";
import type { Id, Page } from "../lib/types";
import { Badge, Bones, Empty, Failed, Panel, Select } from "../parts/basic";
import { Pager } from "../parts/pager";
import { Scroll } from "../parts/scroll";

interface Row {
  kind: "DEVICE" | "DEVICE_PROFILE" | "SERVER" | "SERVER_CA";
  id: Id | null;
  name: string;
  subject: string;
  issuer: string;
  notAfter: number | null;
  daysLeft: number;
  state: "VALID" | "EXPIRING" | "EXPIRED" | "NOT_YET_VALID";
  key: string;
  fingerprint: string;
}

const STATES: Record<Row["state"], [tone: "good" | "warn" | "bad" | "info", text: string]> = {
  VALID: ["good", "Valid"],
  EXPIRING: ["warn", "Expires soon"],
  EXPIRED: ["bad", "Expired"],
  NOT_YET_VALID: ["info", "Not yet valid"],
};

const KINDS: Record<Row["kind"], string> = { DEVICE: "Device", DEVICE_PROFILE: "Profile's CA", SERVER: "This server", SERVER_CA: "This server's CA" };

const SIZE = 50;

export function Certificates() {
  const [page, setPage] = useState(0);
  const [within, setWithin] = useState("");
  const rows = useLoad((signal) => get<Page<Row>>("/api/thingport/certificates", { pageSize: SIZE, page, before: within && Date.now() + Number(within) * 86_400_000 }, signal), [page, within], 60_000);
  return (
    <>
      <div class="head">
        <h1 class="grow">Certificates</h1>
      </div>
      <Panel
        title="The first to end comes first"
        actions={
          <Select bare label="Ends within" value={within} onPick={(value) => (setPage(0), setWithin(value))} options={[{ value: "", label: "All" }, { value: "7", label: "Ends within 7 days" }, { value: "30", label: "Ends within 30 days" }, { value: "90", label: "Ends within 90 days" }]} />
        }
        flush
      >
        {rows.error && <div class="body"><Failed error={rows.error} again={rows.again} /></div>}
        {!rows.value && !rows.error && <div class="body"><Bones /></div>}
        {rows.value?.totalElements === 0 && <Empty title="No certificates">Devices with X.509 credentials and profiles with a CA appear here.</Empty>}
        {rows.value && rows.value.totalElements > 0 && (
          <>
            <Scroll label="Certificates">
              <table class="table">
                <thead>
                  <tr>
                    <th scope="col">Whose</th>
                    <th scope="col" class="wide">Subject</th>
                    <th scope="col" class="wide">Issuer</th>
                    <th scope="col" class="wide">Key</th>
                    <th scope="col">Ends</th>
                    <th scope="col">State</th>
                  </tr>
                </thead>
                <tbody>
                  {rows.value.data.map((row) => (
                    <tr key={row.kind + row.name + row.fingerprint}>
                      <td>
                        <span class="name">{row.kind === "DEVICE" && row.id ? <a href={`/devices/${row.id.id}/credentials`}>{row.name}</a> : row.name}</span> <span class="faint">{KINDS[row.kind]}</span>
                      </td>
                      <td class="wide wrap">{row.subject || <span class="faint">-</span>}</td>
                      <td class="wide wrap">{row.issuer === row.subject ? <span class="faint">itself</span> : row.issuer}</td>
                      <td class="wide nowrap">{row.key}</td>
                      <td class="nowrap" title={row.notAfter === null ? "" : moment(row.notAfter, false)}>
                        {row.daysLeft < 0 ? `${-row.daysLeft} days ago` : `in ${row.daysLeft} days`}
                      </td>
                      <td>
                        <Badge tone={STATES[row.state][0]}>{STATES[row.state][1]}</Badge>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
            <Pager page={page} size={SIZE} total={rows.value.totalElements} what="certificate" onPage={setPage} />
          </>
        )}
      </Panel>
    </>
  );
}
