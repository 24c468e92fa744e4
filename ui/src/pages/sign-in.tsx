import { useState } from "preact/hooks";
import { useDeed } from "../lib/load";
import { signIn } from "../lib/session";
import { Button, Notice, TextField } from "../parts/basic";

export function SignIn() {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const { busy, error, run } = useDeed();
  const submit = (event: Event) => {
    event.preventDefault();
    void run(() => signIn(name.trim(), password));
  };
  return (
    <div class="gate">
      <form onSubmit={submit} aria-label="Sign in">
        <div class="brand">
          <img src="/favicon.svg" alt="" />
          Thingport
        </div>
        <TextField label="Email" type="email" autoComplete="username" required autofocus value={name} onText={setName} />
        <TextField label="Password" type="password" autoComplete="current-password" required value={password} onText={setPassword} />
        {error && <Notice tone="bad">{error}</Notice>}
        <Button kind="first" type="submit" busy={busy}>
          Sign in
        </Button>
      </form>
    </div>
  );
}
