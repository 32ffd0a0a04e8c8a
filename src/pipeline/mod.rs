//! Composes the data plane: the meter turns frames into observations, the judge turns observations into alerts.
