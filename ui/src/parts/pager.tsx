import { count, plural } from "../lib/text";
import { Button } from "./basic";

interface PagerProps {
  page: number;
  size: number;
  total: number;
  // What is paged through, in the singular.
  what: string;
  onPage: (page: number) => void;
}

export function Pager({ page, size, total, what, onPage }: PagerProps) {
  const last = Math.max(0, Math.ceil(total / size) - 1);
  return (
    <nav class="pager" aria-label="Pages">
      <span class="grow">
        {count(page * size + 1)}-{count(Math.min(total, (page + 1) * size))} of {plural(total, what)}
      </span>
      <Button small disabled={page === 0} onClick={() => onPage(page - 1)}>
        Previous
      </Button>
      <Button small disabled={page >= last} onClick={() => onPage(page + 1)}>
        Next
      </Button>
    </nav>
  );
}
