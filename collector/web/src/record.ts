// What a row of the table shows of a record. The rest is asked for when the row is opened, so that
// a thousand records of a megabyte each do not fill the browser's memory.
import { cut, detached, visible } from "./text";

export interface Summary {
  readonly id: number;
  readonly time: Date;
  readonly level: string;
  readonly logger: string;
  readonly host: string;
  readonly message: string;
}

const messageMax = 500;
const nameMax = 100;

function line(value: unknown, max: number): string {
  if (typeof value !== "string") return "";
  const text = visible(cut(value, max));
  return value.length > max ? detached(`${text}…`) : text;
}

export function summary(record: Record<string, unknown>): Summary {
  return {
    id: Number(record["id"]),
    time: new Date(String(record["timestamp"])),
    level: line(record["level"], nameMax),
    logger: line(record["logger_name"], nameMax),
    host: line(record["host"], nameMax),
    message: line(record["message"], messageMax),
  };
}
