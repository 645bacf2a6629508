import { describe, expect, it } from 'vitest';
import { Circuit } from './circuit.js';

const LIMITS = { circuitFailures: 3, circuitOpenMs: 5_000 };

function failing(times: number, atMs = 0): Circuit {
  const circuit = new Circuit(LIMITS);
  for (let time = 0; time < times; time++) circuit.failed(atMs);
  return circuit;
}

describe('a circuit', () => {
  it('stays closed below its number of failures, and opens at it', () => {
    expect(failing(2).open).toBe(false);
    expect(failing(3, 100).blockedUntilMs).toBe(5_100);
  });

  it('counts failures one after another only', () => {
    const circuit = failing(2);
    circuit.succeeded();
    circuit.failed(0);
    circuit.failed(0);
    expect(circuit.open).toBe(false);
  });

  it('does not take a beginning for a success', () => {
    const circuit = new Circuit(LIMITS);
    for (let time = 0; time < 3; time++) {
      circuit.pass();
      circuit.answered();
      circuit.failed(0);
    }
    expect(circuit.open).toBe(true);
  });

  it('lets one try it when its time is up, and the others once that is answered', () => {
    const circuit = failing(3);
    circuit.pass();
    expect(circuit.blockedUntilMs).toBe(Number.POSITIVE_INFINITY);
    expect(circuit.answered()).toBe(true);
    expect(circuit.blockedUntilMs).toBe(0);
  });

  it('stays open twice as long after each trial that fails, up to a minute', () => {
    const circuit = failing(3);
    const waits = Array.from({ length: 6 }, () => {
      circuit.pass();
      circuit.failed(0);
      return circuit.blockedUntilMs;
    });
    expect(waits).toEqual([10_000, 20_000, 40_000, 60_000, 60_000, 60_000]);
  });

  it('opens again at once when it fails before anything was done to its end', () => {
    const circuit = failing(3);
    circuit.pass();
    circuit.answered();
    circuit.failed(0);
    expect(circuit.blockedUntilMs).toBe(10_000);
  });

  it('is not kept open by those that were under way when it opened', () => {
    const circuit = failing(3);
    for (let time = 0; time < 30; time++) circuit.failed(1_000);
    expect(circuit.blockedUntilMs).toBe(5_000);
  });

  it('lets another try it when the client of the trial has left', () => {
    const circuit = failing(3);
    circuit.pass();
    circuit.abandoned();
    expect(circuit.blockedUntilMs).toBe(5_000);
  });
});
