import { asks } from './asks.ts';

asks('a first test that finds nothing of another file');
