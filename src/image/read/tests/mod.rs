mod cost;
mod dump;
mod fixture;
mod hostile;
mod rules;
mod vectors;
mod verdicts;
