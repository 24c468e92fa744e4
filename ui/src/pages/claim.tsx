// A customer takes a device that allowed it.

import { useState } from "preact/hooks";
import { post } from "../lib/api";
import { ApiError } from "../lib/api";
import { useDeed } from "../lib/load";
import type { Device } from "../lib/types";
import { Button, Notice, Panel, TextField } from "../parts/basic";

export function Claim() {
  const [name, setName] = useState("");
  const [secret, setSecret] = useState("");
  const [done, setDone] = useState<Device>();
  const { busy, error, run } = useDeed();
  const claim = () =>
    run(async () => {
      setDone(undefined);
      try {
        const answer = await post<{ device: Device }>(`/api/customer/device/${encodeURIComponent(name.trim())}/claim`, { secretKey: secret });
        setDone(answer.device);
        setSecret("");
      } catch (failure) {
        throw new Error(inWords(failure as Error));
      }
    });
  return (
    <>
      <div class="head">
        <h1 class="grow">Claim a device</h1>
      </div>
      <Panel>
        <form
          class="stack narrow"
          onSubmit={(event) => {
            event.preventDefault();
            void claim();
          }}
        >
          <p class="dim">Name and secret stand on the device or in its papers. It has to be switched on and allow to be claimed.</p>
          <TextField label="Name of the device" required value={name} onText={setName} />
          <TextField label="Secret" value={secret} onText={setSecret} hint="May be empty, if the device asks for none." />
          {error && <Notice tone="bad">{error}</Notice>}
          {done && (
            <Notice tone="good">
              <a href={`/devices/${done.id.id}`}>{done.name}</a> is yours.
            </Notice>
          )}
          <div class="row">
            <Button kind="first" type="submit" busy={busy} disabled={!name.trim()}>
              Claim
            </Button>
          </div>
        </form>
      </Panel>
    </>
  );
}

function inWords(error: Error): string {
  if (!(error instanceof ApiError)) return error.message;
  if (error.status === 404) return "There is no device of this name.";
  if (/CLAIMED/.test(error.message)) return "The device belongs to somebody already.";
  if (/FAILURE/.test(error.message)) return "The device does not allow it now, or the secret is wrong. Let it allow claiming again, and check the secret.";
  return error.message;
}
