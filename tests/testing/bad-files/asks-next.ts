import { asks } from './asks.ts';

asks('a next test that finds nothing of another file');
