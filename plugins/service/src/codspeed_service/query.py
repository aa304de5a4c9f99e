"""The documents of the GraphQL API, as the contract selects them (spec/cli-upload.md 5.2)."""

from __future__ import annotations

from typing import Final

CREATE_LOGIN: Final = """
mutation CreateLoginSession {
  createLoginSession { callbackUrl sessionId }
}
"""

CONSUME_LOGIN: Final = """
mutation ConsumeLoginSession($sessionId: String!) {
  consumeLoginSession(sessionId: $sessionId) { token }
}
"""

SESSION: Final = """
query Session {
  session { user { login provider } }
}
"""

OVERVIEW: Final = """
query SessionAndRepositoryOverview(
  $owner: String!, $name: String!, $provider: RepositoryProvider
) {
  session { user { login provider } }
  repositoryOverview(owner: $owner, name: $name, provider: $provider) {
    ... on Repository { owner name provider hasWriteAccess }
    ... on AvailableRepository { owner name provider hasWriteAccess }
  }
}
"""

# The operation is called so in the reference.
PROJECT: Final = """
mutation Mutation($name: String!) {
  getOrCreateProjectRepository(name: $name) { provider owner name }
}
"""

RUN: Final = """
query FetchLocalRun($owner: String!, $name: String!, $runId: String!) {
  repository(owner: $owner, name: $name) {
    run(id: $runId) {
      id status url
      results {
        benchmark { name executor }
        value
        issues { callgraphGenerationFailure }
        valgrind { timeDistribution { ir l1m llm sys } }
        walltime { iterations stdev totalTime }
        memory { peakMemory totalAllocated allocCalls }
      }
    }
  }
}
"""

COMPARISON: Final = """
query CompareRuns(
  $owner: String!, $name: String!, $baseRunId: String!, $headRunId: String!
) {
  repository(owner: $owner, name: $name) {
    paginatedCompareRuns(baseRunId: $baseRunId, headRunId: $headRunId) {
      impact url
      headRun { id status }
      resultComparisons {
        benchmark { name executor }
        value baseValue change category status
        result { issues { callgraphGenerationFailure } }
      }
    }
  }
}
"""
