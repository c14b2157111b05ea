// Passing failures on: the two lines that would otherwise stand after every call.
#pragma once

#define NESTOR_CONCAT_INNER(a, b) a##b
#define NESTOR_CONCAT(a, b) NESTOR_CONCAT_INNER(a, b)

// Returns the Status of `expression` from this function unless it is ok.
#define NESTOR_RETURN_IF_ERROR(expression)                                                        \
  do {                                                                                            \
    if (::nestor::Status nestor_status = (expression); !nestor_status.ok()) return nestor_status; \
  } while (false)

// `declaration` = the value of the Result `expression`, or returns its Status.
#define NESTOR_ASSIGN_OR_RETURN(declaration, expression) \
  NESTOR_ASSIGN_OR_RETURN_INNER(NESTOR_CONCAT(nestor_result_, __LINE__), declaration, expression)
#define NESTOR_ASSIGN_OR_RETURN_INNER(result, declaration, expression) \
  auto result = (expression);                                          \
  if (!result.ok()) return result.status();                            \
  declaration = std::move(result).value()
