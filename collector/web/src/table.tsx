// The table: one line for each record, the newest on top; a line opens to the whole record.
import { Component } from "preact";

import { Detail } from "./detail";
import { severity } from "./levels";
import type { Summary } from "./record";

const columns = ["Time", "Level", "Logger", "Host", "Message"] as const;

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** In the reader's time zone; the date only where it is not today's. */
function Time({ time }: { time: Date }) {
  if (Number.isNaN(time.getTime())) return <>—</>;
  const day = `${two(time.getMonth() + 1)}-${two(time.getDate())} `;
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  const isToday = time.toDateString() === new Date().toDateString();
  return (
    <time dateTime={time.toISOString()} title={time.toISOString()}>
      {!isToday && <span class="quiet">{day}</span>}
      {clock}
      <span class="quiet">.{String(time.getMilliseconds()).padStart(3, "0")}</span>
    </time>
  );
}

interface RowProps {
  record: Summary;
  isOpen: boolean;
  onToggle: (id: number) => void;
  onFilter: (term: string) => void;
}

class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    return next.record !== this.props.record || next.isOpen !== this.props.isOpen;
  }

  override render({ record, isOpen, onToggle, onFilter }: RowProps) {
    const detailId = `record-${record.id}`;
    // Whoever selects text in a row does not mean to open it.
    const toggle = () => getSelection()?.isCollapsed !== false && onToggle(record.id);
    return (
      <>
        <tr role="row" class={`row ${severity(record.level)}`} onClick={toggle}>
          <td role="cell" class="time">
            <button
              type="button"
              class="opener"
              aria-expanded={isOpen}
              aria-controls={detailId}
              aria-label="Details"
            />
            <Time time={record.time} />
          </td>
          <td role="cell" class="level">
            <bdi>{record.level}</bdi>
          </td>
          <td role="cell" class="logger">
            <bdi>{record.logger}</bdi>
          </td>
          <td role="cell" class="host">
            <bdi>{record.host}</bdi>
          </td>
          <td role="cell" class="message">
            <bdi>{record.message}</bdi>
          </td>
        </tr>
        {isOpen && (
          <tr role="row" class="detail" id={detailId}>
            <td role="cell">
              <Detail id={record.id} onFilter={onFilter} />
            </td>
          </tr>
        )}
      </>
    );
  }
}

interface TableProps {
  rows: readonly Summary[];
  open: ReadonlySet<number>;
  onToggle: (id: number) => void;
  onFilter: (term: string) => void;
}

export function Table({ rows, open, onToggle, onFilter }: TableProps) {
  return (
    <table role="table">
      <caption class="unseen">Log records, the newest first</caption>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map((name) => (
            <th role="columnheader" scope="col" class={name.toLowerCase()}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map((record) => (
          <Row
            key={record.id}
            record={record}
            isOpen={open.has(record.id)}
            onToggle={onToggle}
            onFilter={onFilter}
          />
        ))}
      </tbody>
    </table>
  );
}
