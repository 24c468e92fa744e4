import { render } from "preact";
import { App } from "./app";
import { restore } from "./lib/theme";
import "./styles.css";

restore();
render(<App />, document.getElementById("page")!);
