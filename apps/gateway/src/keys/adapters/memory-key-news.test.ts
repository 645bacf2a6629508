import { keyNewsContract } from '../key-news.contract.js';
import { MemoryKeyNews } from './memory-key-news.js';

keyNewsContract('MemoryKeyNews', async () => new MemoryKeyNews());
