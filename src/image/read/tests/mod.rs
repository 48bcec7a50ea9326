mod cost;
mod dump;
mod hostile;
mod rules;
mod vectors;
