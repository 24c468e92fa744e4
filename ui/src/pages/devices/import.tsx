// Devices from a file: each column is said what it is, and each row that fails is named.

import { useState } from "preact/hooks";
import { post } from "../../lib/api";
import { useDeed } from "../../lib/load";
import { plural } from "../../lib/text";
import { Button, Choice, Dialog, Field, Notice } from "../../parts/basic";
import { Scroll } from "../../parts/scroll";

const MEANINGS = ["NAME", "TYPE", "LABEL", "DESCRIPTION", "IS_GATEWAY", "ACCESS_TOKEN", "X509", "MQTT_CLIENT_ID", "MQTT_USER_NAME", "MQTT_PASSWORD", "SHARED_ATTRIBUTE", "SERVER_ATTRIBUTE", "TIMESERIES"];

const GUESSES: Record<string, string> = { name: "NAME", type: "TYPE", profile: "TYPE", label: "LABEL", description: "DESCRIPTION", token: "ACCESS_TOKEN", accesstoken: "ACCESS_TOKEN", gateway: "IS_GATEWAY", isgateway: "IS_GATEWAY" };

interface Outcome {
  created: number;
  updated: number;
  errors: number;
  errorsList: string[];
}

export function Import({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [file, setFile] = useState("");
  const [meanings, setMeanings] = useState<string[]>([]);
  const [update, setUpdate] = useState("yes");
  const [outcome, setOutcome] = useState<Outcome>();
  const { busy, error, run } = useDeed();
  const [head = "", ...rows] = file.split(/\r?\n/).filter(Boolean);
  const delimiter = [";", "\t", ","].find((each) => head.includes(each)) ?? ",";
  const columns = head ? head.split(delimiter).map((each) => each.trim().replace(/^"|"$/g, "")) : [];
  const read = async (chosen: File | undefined) => {
    if (!chosen) return;
    const text = await chosen.text();
    const first = (text.split(/\r?\n/)[0] ?? "").split([";", "\t", ","].find((each) => (text.split(/\r?\n/)[0] ?? "").includes(each)) ?? ",");
    setMeanings(first.map((each) => GUESSES[each.trim().toLowerCase().replace(/[\s_"]/g, "")] ?? "SERVER_ATTRIBUTE"));
    setOutcome(undefined);
    setFile(text);
  };
  const send = () =>
    run(async () => {
      const keyed = (meaning: string) => /ATTRIBUTE|TIMESERIES/.test(meaning);
      const mapping = {
        columns: meanings.map((type, n) => ({ type, key: keyed(type) ? columns[n] : null })),
        delimiter,
        update: update === "yes",
        header: true,
      };
      const done = await post<Outcome>("/api/device/bulk_import", { file, mapping });
      setOutcome(done);
      onDone();
    });
  return (
    <Dialog wide title="Devices from a file" onClose={onClose} onSubmit={() => void send()}>
      <Field label="File" hint="CSV with a line of headings.">
        {(field) => <input class="input" type="file" accept=".csv,text/csv,text/plain" {...field} onChange={(event) => void read(event.currentTarget.files?.[0])} />}
      </Field>
      {columns.length > 0 && (
        <>
          <Scroll label="Columns">
            <table class="table">
              <thead>
                <tr>
                  <th scope="col">Column</th>
                  <th scope="col">Example</th>
                  <th scope="col">Is</th>
                </tr>
              </thead>
              <tbody>
                {columns.map((column, n) => (
                  <tr key={n}>
                    <td class="name">{column}</td>
                    <td class="mono clip">{rows[0]?.split(delimiter)[n] ?? ""}</td>
                    <td>
                      <select class="input" aria-label={`What ${column} is`} value={meanings[n]} onChange={(event) => setMeanings(meanings.map((each, other) => (other === n ? event.currentTarget.value : each)))}>
                        {MEANINGS.map((each) => (
                          <option key={each} value={each}>
                            {each.toLowerCase().replaceAll("_", " ")}
                          </option>
                        ))}
                      </select>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
          <div class="row">
            <span>Devices whose name exists</span>
            <Choice label="Devices whose name exists" value={update} onPick={setUpdate} options={[{ value: "yes", label: "are changed" }, { value: "no", label: "are errors" }]} />
          </div>
        </>
      )}
      {error && <Notice tone="bad">{error}</Notice>}
      {outcome && (
        <Notice tone={outcome.errors ? "warn" : "good"}>
          <p>
            {plural(outcome.created, "device")} created, {outcome.updated} changed, {outcome.errors} not taken.
          </p>
          {outcome.errorsList.slice(0, 20).map((each) => (
            <p key={each}>{each}</p>
          ))}
        </Notice>
      )}
      <footer>
        <Button onClick={onClose}>{outcome ? "Close" : "Cancel"}</Button>
        <Button kind="first" type="submit" busy={busy} disabled={!meanings.includes("NAME")}>
          {columns.length ? `Import ${plural(rows.length, "row")}` : "Import"}
        </Button>
      </footer>
    </Dialog>
  );
}
