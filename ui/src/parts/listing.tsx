// A searched and paged table. The server searches and pages.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { get } from "../lib/api";
import type { Query } from "../lib/api";
import { useLoad, useSettled } from "../lib/load";
import type { Page } from "../lib/types";
import { Bones, Empty, Failed } from "./basic";
import { Icon } from "./icons";
import { Pager } from "./pager";
import { Scroll } from "./scroll";

export interface Column<T> {
  name: string;
  show: (row: T) => ComponentChildren;
  // Left out on narrow screens.
  wide?: boolean;
}

interface ListingProps<T> {
  // The path of the route that answers a page.
  path: string;
  query?: Query;
  // What a row is, in the singular.
  what: string;
  columns: Column<T>[];
  keyOf: (row: T) => string;
  empty: ComponentChildren;
  actions?: ComponentChildren;
  // Changes when the rows have to be read again.
  round?: number;
  sort?: string;
}

const SIZE = 30;

export function Listing<T>({ path, query = {}, what, columns, keyOf, empty, actions, round = 0, sort = "createdTime" }: ListingProps<T>) {
  const [text, setText] = useState("");
  const [page, setPage] = useState(0);
  const wanted = useSettled(text.trim());
  const all = { pageSize: SIZE, page, textSearch: wanted, sortProperty: sort, sortOrder: sort === "createdTime" ? "DESC" : "ASC", ...query };
  const rows = useLoad((signal) => get<Page<T>>(path, all, signal), [path, round, ...Object.values(all)]);
  return (
    <section class="panel">
      <header>
        <label class="grow search">
          <Icon name="search" />
          <input class="input" type="search" aria-label={`Search for a ${what}`} placeholder="Search" value={text} onInput={(event) => (setPage(0), setText(event.currentTarget.value))} />
        </label>
        {actions}
      </header>
      {rows.error && <div class="body"><Failed error={rows.error} again={rows.again} /></div>}
      {!rows.value && !rows.error && <div class="body"><Bones /></div>}
      {rows.value?.totalElements === 0 && (wanted ? <Empty title={`No ${what} matches`} /> : empty)}
      {rows.value && rows.value.totalElements > 0 && (
        <>
          <Scroll label={`${what}s`}>
            <table class="table">
              <thead>
                <tr>
                  {columns.map((column) => (
                    <th key={column.name} scope="col" class={column.wide ? "wide" : ""}>
                      {column.name || <span class="sr">Actions</span>}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {rows.value.data.map((row) => (
                  <tr key={keyOf(row)}>
                    {columns.map((column) => (
                      <td key={column.name} class={column.wide ? "wide" : ""}>
                        {column.show(row)}
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
          <Pager page={page} size={SIZE} total={rows.value.totalElements} what={what} onPage={setPage} />
        </>
      )}
    </section>
  );
}
