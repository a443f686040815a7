"""Use cases, one transaction each: fold journals into the store, and answer questions about runs."""
