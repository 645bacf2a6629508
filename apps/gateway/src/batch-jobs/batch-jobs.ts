import type { NewJob } from '../stores/job-queue.js';
import type { OpenWork } from './batch-store.js';

/** A step of a batch, as it lies in the queue. It names what is to be done; what that needs stands in the database. */
export type BatchJob =
  | { readonly step: 'check' | 'finish'; readonly batchId: string }
  | { readonly step: 'slice'; readonly batchId: string; readonly slice: number };

/** What takes a moment goes before what takes long. */
const PRIORITIES: Readonly<Record<BatchJob['step'], number>> = { check: 2, finish: 1, slice: 0 };

/** The steps that can be taken now. Pure: whoever adds them twice changes nothing. */
export function nextSteps({ batchId, status, slices }: OpenWork): readonly BatchJob[] {
  if (status === 'validating') return [{ step: 'check', batchId }];
  if (slices.length > 0) return slices.map((slice) => ({ step: 'slice', batchId, slice }));
  return status === 'in_progress' ? [] : [{ step: 'finish', batchId }];
}

export function newJob(job: BatchJob): NewJob {
  const name = job.step === 'slice' ? `slice-${job.slice}` : job.step;
  return { id: `${job.batchId}.${name}`, payload: JSON.stringify(job), priority: PRIORITIES[job.step] };
}

export function batchJobOf(payload: string): BatchJob {
  return JSON.parse(payload) as BatchJob;
}
