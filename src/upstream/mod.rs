//! Talking to providers: clients, classification, retries, dispatch and the relay of bodies. Imports `domain` and `chat`.
